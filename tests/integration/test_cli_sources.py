"""The commands about kinds of source, their options and their secrets."""

from __future__ import annotations

import json
import stat

import pytest

from indexing.sources import kind_called, kind_names
from tests.commands import commands


@pytest.fixture
def metier(tmp_path, monkeypatch, capsys, sqlite_url):
    """Run one command beside a migrated, empty catalog."""
    return commands(tmp_path, monkeypatch, capsys)


def error_of(result):
    """The one line that a mistake of the user gives."""
    code, out, err = result
    assert (code, out) == (1, "")
    assert err.count("\n") == 1, err
    assert err.startswith("Error: ")
    return err


def test_kinds_lists_every_kind_with_its_options_and_its_secret(metier):
    code, shown, _ = metier("sources", "kinds")
    listed = {kind["name"]: kind for kind in json.loads(metier("sources", "kinds", "--json")[1])}

    assert code == 0
    assert set(listed) == set(kind_names())
    for name in kind_names():
        kind = kind_called(name)
        assert f"{name}: " in shown
        assert listed[name] == {
            "name": name, "location": kind.about, "options": dict(kind.options), "secret": kind.secret,
        }  # fmt: skip
        assert all(f"--option {option}=" in shown for option in kind.options)


def test_a_secret_is_stored_for_this_user_only_and_never_printed(metier, tmp_path):
    code, out, err = metier("sources", "secret", "wiki", piped=" correct horse \n")

    stored = tmp_path / "data" / "secrets" / "wiki"
    assert code == 0
    assert stored.read_text() == "correct horse"
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    assert stat.S_IMODE(stored.parent.stat().st_mode) == 0o700
    assert "horse" not in out + err
    assert str(stored) in "".join(err.split("\n"))


def test_a_secret_that_is_stored_anew_takes_the_place_of_the_old_one(metier, tmp_path):
    metier("sources", "secret", "wiki", piped="old and long")
    metier("sources", "secret", "wiki", piped="new")

    assert [path.name for path in (tmp_path / "data" / "secrets").iterdir()] == ["wiki"]
    assert (tmp_path / "data" / "secrets" / "wiki").read_text() == "new"


@pytest.mark.parametrize("name", ["metier_api_token", "../wiki", "a/b", ".wiki", "Wiki", "", "x" * 65])
def test_a_name_that_no_secret_may_have_is_refused_before_anything_is_written(metier, tmp_path, name):
    said = error_of(metier("sources", "secret", name, piped="correct horse"))

    assert "cannot name a secret" in said
    assert "horse" not in said
    assert not (tmp_path / "data" / "secrets").exists()


def test_an_empty_secret_is_refused(metier, tmp_path):
    assert "No secret was given" in error_of(metier("sources", "secret", "wiki", piped=" \n"))
    assert not (tmp_path / "data" / "secrets").exists()


def test_options_that_the_kind_does_not_have_are_refused(metier):
    said = error_of(metier("sources", "add", "docs", "https://docs.example/", "--kind", "web", "--option", "x=y"))

    assert "no option x" in said
    assert "No sources yet" in metier("sources", "list")[2]


@pytest.mark.parametrize("options", [["keep"], ["keep=yes", "keep=no"]])
def test_options_that_are_no_pair_or_are_given_twice_are_refused(metier, options):
    told = [word for option in options for word in ("--option", option)]

    assert "option" in error_of(metier("sources", "add", "news", "https://a.example/feed", "--kind", "rss", *told))
    assert "No sources yet" in metier("sources", "list")[2]


def test_an_option_of_the_kind_is_taken(metier):
    added = metier("sources", "add", "news", "https://a.example/feed", "--kind", "rss", "--option", "keep=no")

    assert added[0] == 0, added
    assert [source["name"] for source in json.loads(metier("sources", "list", "--json")[1])] == ["news"]
