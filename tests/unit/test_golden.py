from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.errors import BadRequest
from app.golden import GoldenQuestion, golden_lines, read_golden


@pytest.fixture
def write(tmp_path):
    def make(text: str | bytes, name: str = "set.jsonl"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return make


def error(path) -> str:
    with pytest.raises(BadRequest) as caught:
        read_golden(path)
    return str(caught.value)


def test_json_lines_and_csv_say_the_same(write):
    lines = (
        '{"id": "1", "question": "How many?", "documents": ["a.md", "b.md"], "answers": ["25", "25 days"]}\n'
        '\n{"question": "Qui ?", "answerable": false, "language": "fr", "id": "2", "note": "ignored"}\n'
    )
    table = (
        "id,question,documents,answers,answerable,language,note\n"
        '1,How many?,a.md; b.md,25 | 25 days,,,\n2,"Qui ?",,,non,fr,"ignored"\n'
    )

    assert read_golden(write(lines)).questions == read_golden(write(table, "set.csv")).questions


def test_expected_answers_and_documents_may_be_called_so_and_no_answer_may_be_one(write):
    lines = (
        '{"question": "How many?", "expected_documents": ["a.md"], "expected answer": "25"}\n'
        '{"question": "Who?", "answer": "no answer"}\n'
        '{"question": "What?", "answers": ["no answer"], "answerable": true}\n'
    )
    table = (
        "Question;Expected documents;Expected answer;answerable\n"
        "How many?;a.md;25;\nWho?;;No answer;\nWhat?;;no answer;true\n"
    )
    found = read_golden(write(lines)).questions

    assert [(each.documents, each.answers, each.answerable) for each in found] == [
        (("a.md",), ("25",), True),
        ((), (), False),
        ((), ("no answer",), True),
    ]
    assert [each.answers for each in read_golden(write(table, "set.csv")).questions] == [("25",), (), ("no answer",)]
    assert [each.answerable for each in read_golden(write(table, "set.csv")).questions] == [True, False, True]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_what_a_french_spreadsheet_writes_is_read(write, separator):
    rows = [["question", "answers", "answerable"], ["Combien ?", "25|vingt-cinq", "vrai"], ["Qui ?", "", "faux"]]
    text = "\ufeff" + "\r\n".join(separator.join(row) for row in rows)
    first, second = read_golden(write(text, "set.csv")).questions

    assert (first.answers, first.answerable, second.answerable) == (("25", "vingt-cinq"), True, False)


def test_an_id_that_is_not_given_is_made_from_the_question(write):
    line = '{"question": "How many?", "answers": ["25"]}'

    assert read_golden(write(line)).questions[0].id == read_golden(write("\n" + line)).questions[0].id


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a JSON object"),
        ('{"answers": ["x"]}', "no question"),
        ('{"question": "  ", "answers": ["x"]}', "no question"),
        ('{"question": 5, "answers": ["x"]}', "no question"),
        ('{"question": "x"}', "nothing is expected"),
        ('{"question": "x", "answerable": true}', "nothing is expected"),
        ('{"question": "x", "answers": ["x"], "answerable": false}', "no answer, and yet"),
        ('{"question": "x", "answers": [1]}', "answers is not a list of texts"),
        ('{"question": "x", "documents": {"a": 1}}', "documents is not a list of texts"),
        ('{"question": "x", "answers": ["x"], "answerable": "perhaps"}', "answerable is 'perhaps'"),
        ('{"question": "\\ud800", "answers": ["x"]}', "surrogate"),
        ('{"question": "x", "answers": ["x"], "answer": "y"}', "answers is there twice"),
        ('{"question": "x", "documents": ["x"], "answer": "no answer"}', "no answer, and yet"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_with_what_to_do(write, line, reason):
    path = write('{"question": "fine", "answers": ["x"]}\n' + line)
    said = error(path)

    assert f"{path}, line 2: " in said
    assert reason in said
    assert "Nothing was run." in said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("query,answers\nx,y\n", "no column is called question"),
        ("question,answers\nx\n", "cells"),
        ("question,answers,expected answer\nx,y,z\n", "answers is there twice"),
        ("question,answers\nx,y,z\n", "cells"),
        ('question,answers\n"x"y,z\n', "not CSV"),
    ],
)
def test_csv_that_cannot_be_used_is_named_by_its_line(write, text, reason):
    path = write(text, "set.csv")
    said = error(path)

    assert f"{path}, line " in said
    assert reason in said


def test_the_same_id_twice_is_refused(write):
    line = '{"question": "How many?", "answers": ["25"]}\n'

    assert "line 2" in error(write(line + line))


def test_a_file_without_questions_or_in_another_encoding_or_absent_is_refused(write, tmp_path):
    assert "holds no question" in error(write("\n\n"))
    assert "holds no question" in error(write("question,answers\n", "set.csv"))
    assert "not UTF-8" in error(write("é".encode("latin-1")))
    assert "cannot be read" in error(tmp_path / "absent.jsonl")
    assert "cannot be read" in error(tmp_path)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).map(str.strip).filter(bool)


@given(st.lists(texts, unique=True, min_size=1, max_size=5), st.lists(texts, unique=True, min_size=1, max_size=3))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_back(write, questions, answers):
    made = [GoldenQuestion(f"q{i}", text, answers=tuple(answers), made=True) for i, text in enumerate(questions)]

    assert read_golden(write(golden_lines(made))).questions == tuple(made)


@given(st.binary(max_size=300), st.sampled_from(["set.csv", "set.jsonl"]))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_set_or_a_clear_error(write, content, name):
    with contextlib.suppress(BadRequest):
        assert read_golden(write(content, name)).questions
