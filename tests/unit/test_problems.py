"""Errors on the wire."""

from __future__ import annotations

import json

import pytest

from app import errors as app_errors
from app import problems
from indexing import errors


def every_error():
    return sorted(
        {
            cls
            for module in (errors, app_errors)
            for cls in vars(module).values()
            if isinstance(cls, type) and issubclass(cls, errors.IndexingError)
        },
        key=lambda cls: cls.__name__,
    )


@pytest.mark.parametrize("cls", every_error())
def test_every_error_of_ours_has_a_problem_document_with_type_title_status_and_detail(cls):
    response = problems.problem_of(cls("It broke.", remedy="Mend it."))
    body = json.loads(bytes(response.body))

    assert response.media_type == "application/problem+json"
    assert body["type"].startswith("urn:metier:problem:")
    assert body["title"]
    assert (body["status"], body["detail"], body["remedy"]) == (response.status_code, "It broke.", "Mend it.")


@pytest.mark.parametrize(
    ("cls", "status"),
    [
        (errors.StorageFull, 507),
        (errors.CatalogUnavailable, 503),
        (errors.CatalogTooNew, 500),
        (errors.SourceMissing, 409),
        (errors.RunInProgress, 409),
        (errors.EmptyDocument, 422),
        (errors.UnsupportedFormat, 415),
        (app_errors.QuestionTooLong, 422),
        (app_errors.TooLarge, 413),
        (app_errors.NotAllowed, 401),
        (app_errors.Forbidden, 403),
        (app_errors.NotFound, 404),
        (app_errors.Conflict, 409),
        (app_errors.GeneratorTimeout, 504),
        (app_errors.GeneratorOverloaded, 503),
        (KeyError, 500),
        ("EncryptedDocument", 422),
        ("SomebodyElsesError", 500),
    ],
)
def test_an_error_has_the_status_of_its_class_or_its_nearest_parent(cls, status):
    assert problems.status_of(cls) == status


def test_overload_says_when_to_try_again():
    response = problems.problem_of(app_errors.GeneratorOverloaded())

    assert response.headers["retry-after"] == str(problems.RETRY_AFTER_S)


def test_a_missing_token_says_which_scheme_is_asked_for():
    assert problems.problem_of(app_errors.NotAllowed()).headers["www-authenticate"].startswith("Bearer")


def test_the_openai_routes_answer_errors_in_openai_s_shape():
    response = problems.problem_of(app_errors.GeneratorOverloaded(), openai=True)

    error = json.loads(bytes(response.body))["error"]
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert (error["type"], error["code"]) == ("server_error", "generator_overloaded")


def test_a_failed_event_becomes_the_problem_of_its_class():
    response = problems.named_problem("GeneratorTimeout", "Too slow.", "Wait.", extra={"sources": []})

    body = json.loads(bytes(response.body))
    assert (body["status"], body["type"], body["sources"]) == (504, "urn:metier:problem:generator-timeout", [])


def test_an_unexpected_error_tells_nothing_about_itself():
    assert b"Traceback" not in bytes(problems.surprise("/v1/ask").body)
    assert json.loads(bytes(problems.surprise("/v1/chat/completions").body))["error"]["type"] == "server_error"
