"""``metier evaluate`` over a real catalog and index: what questions come to, the gate, the files, the exit codes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.cli_evaluate import Wanted, evaluated
from app.cli_open import local_scope
from app.errors import BadRequest
from app.evaluate import as_json, evaluate, from_json
from app.golden import GoldenQuestion, GoldenSet, golden_lines
from app.specialists import DEFAULT
from app.testing import ScriptedGenerator, WordReader
from app.wiring import build
from indexing import store
from indexing.errors import ModelUnusable
from indexing.pipeline import Indexing, sync_source
from indexing.testing import FakeParsers, FakeSource, HashEmbedder, kinds_of
from tests.commands import commands

FILES = {
    "leave.md": "# Paid leave\n\nEveryone has 25 days of paid leave each year. Unused days expire on 31 March.",
    "office.md": "# Lyon office\n\nThe Lyon office opens at 8:30. Badges are issued by reception.",
    "pump.md": "# Pump\n\nThe Corvane pump weighs 12 kilos. The Corvane pump is tested every six months.",
    "conges.md": "# Congés payés\n\nChaque salarié a droit à 25 jours de congés payés par an.",
    "mail.eml!/seal.md": "# Seals\n\nThe supplier replaces every seal of batch FK within 10 days.",
}
ASKED = (
    ("How many days of paid leave does everyone have each year?", ("leave.md",), ("25 days",)),
    ("At what time does the Lyon office open?", ("handbook:office.md",), ("8:30",)),
    ("How many kilos does the Corvane pump weigh?", ("pump.md",), ("12 kilos",)),
    ("À combien de jours de congés payés chaque salarié a-t-il droit par an ?", ("conges.md",), ("25 jours",)),
    ("Within how many days does the supplier replace every seal of batch FK?", ("mail.eml",), ("10 days",)),
    ("What is the capital of Mongolia?", (), ()),
)
QUESTIONS = tuple(
    GoldenQuestion(f"q{i}", text, documents, answers, answerable=bool(documents))
    for i, (text, documents, answers) in enumerate(ASKED)
)
SET = GoldenSet("set.jsonl", "0" * 64, QUESTIONS)


@pytest.fixture
def parts(sqlite_catalog, settings):
    made = build(settings(), catalog=sqlite_catalog, embedder=HashEmbedder(), parsers=FakeParsers(), reads=WordReader())
    kinds = kinds_of(fake=FakeSource(FILES))
    with made.catalog.transaction() as session:
        source = store.add_source(session, "handbook", "fake", "handbook")
    indexing = Indexing(made.catalog, made.embedder, made.parsers, made.settings, kinds=kinds)
    assert sync_source(indexing, source).state == "succeeded"
    return made


@pytest.fixture
def golden_file(tmp_path):
    path = tmp_path / "set.jsonl"
    path.write_text(golden_lines(QUESTIONS), encoding="utf-8")
    return path


def run(parts, golden=SET, *, specialist=DEFAULT, **options):
    return evaluate(golden, local_scope(parts.catalog), parts, specialist=specialist, **options)


def asking(*questions: GoldenQuestion) -> GoldenSet:
    return replace(SET, questions=questions)


def test_every_question_comes_to_its_outcome(parts):
    result = run(parts)

    assert [o.verdict for o in result.outcomes] == ["right"] * 5 + ["rightly refused"]
    assert result.figures["ndcg"].value == 1
    assert result.figures["citation_precision"].value > 0.5
    assert (result.figures["wrong"].value, result.figures["abstention"].value) == (0, 1)
    assert set(result.by_language) == {"en", "fr"}
    assert result.outcomes[0].text.startswith("25. [1] The documents say: “Everyone has 25 days")
    assert result.milliseconds["p50"] <= result.milliseconds["p95"]
    assert not result.warnings


def test_documents_are_named_as_the_golden_set_names_them(parts):
    """By uri, with the source before it, and an attachment by the mail that carries it."""
    by_id = {o.id: o for o in run(parts).outcomes}

    assert by_id["q0"].ranked[0] == "leave.md"
    assert by_id["q1"].cited == ("handbook:office.md",)
    assert by_id["q4"].ranked[0] == "mail.eml"


def test_an_unknown_document_is_told_and_not_counted_as_not_found(parts):
    gone = replace(QUESTIONS[0], documents=("gone.md", "leave.md"))
    lost = replace(QUESTIONS[1], documents=("lost.md",))
    result = run(parts, asking(gone, lost))

    assert result.outcomes[0].unknown_documents == ("gone.md",)
    assert result.figures["ndcg"].value == 1
    assert result.figures["ndcg"].questions == 1
    assert "2 expected documents are not in the index" in result.warnings[0]
    assert "gone.md, lost.md" in result.warnings[0]


def test_a_document_that_the_scope_may_not_read_is_unknown(parts):
    scope = replace(local_scope(parts.catalog), principal_id=99, acl_ids=frozenset())

    with pytest.raises(BadRequest, match="Every question failed; the first one: NoIndexYet"):
        evaluate(SET, scope, parts, specialist=DEFAULT)


def test_refused_questions_are_asked_again_for_the_curve_only(parts):
    strict = replace(DEFAULT, threshold=0.999)
    whole, short = run(parts, specialist=strict), run(parts, specialist=strict, ask_refused=False)

    assert {o.verdict for o in whole.outcomes} == {"refused", "rightly refused"}
    assert [o.unrefused_right for o in whole.outcomes] == [True] * 5 + [False]
    assert whole.curve[-1].coverage == 1
    assert whole.figures == short.figures
    assert short.curve == ()


def test_of_what_a_generator_wrote_only_what_stood_is_measured(parts):
    unsupported = replace(parts, generator=ScriptedGenerator(["Bananas are blue [1]."]))
    [outcome] = run(unsupported, asking(QUESTIONS[0])).outcomes

    assert outcome.abstained is None
    assert outcome.text.startswith("25. [1] The documents say: ")
    assert len(outcome.cited) == 1


def test_one_failure_is_an_outcome_and_a_warning(parts):
    class Failing(HashEmbedder):
        """Cannot embed the first question."""

        def embed_questions(self, texts):
            if list(texts) == [QUESTIONS[0].question]:
                raise ModelUnusable("The model is gone.")
            return super().embed_questions(texts)

    failing = replace(parts, embedder=Failing())
    result = run(failing, asking(QUESTIONS[0], QUESTIONS[5]))

    assert [o.verdict for o in result.outcomes] == ["failed", "rightly refused"]
    assert "1 questions failed" in result.warnings[0]


@pytest.mark.parametrize("text", ["x" * 5000, "\u200b"])
def test_a_question_that_cannot_be_asked_stops_all_before_the_first(parts, text):
    with pytest.raises(BadRequest, match="Question bad: ") as caught:
        run(parts, asking(QUESTIONS[0], replace(QUESTIONS[1], id="bad", question=text)))

    assert "Nothing was run." in caught.value.remedy


def test_a_result_is_read_back_as_it_was_written(parts):
    result = run(parts)
    again = from_json(json.loads(json.dumps(as_json(result))), "result.json")

    assert again.outcomes == result.outcomes
    assert again.figures == result.figures


@pytest.mark.parametrize(
    "stored",
    [None, [], {}, {"format": "other"}, {"format": "metier-evaluation-1", "outcomes": [{}]}],
)
def test_what_is_no_result_is_refused(stored):
    with pytest.raises(BadRequest, match=r"old\.json is not a result"):
        from_json(stored, "old.json")


def test_a_worse_configuration_fails_the_gate_against_the_defaults(parts, golden_file, tmp_path, capsys):
    baseline, report = tmp_path / "base.json", tmp_path / "report.html"
    first = evaluated(Wanted(golden_file, json_file=baseline), parts, DEFAULT)
    same = evaluated(Wanted(golden_file, against=baseline), parts, DEFAULT)
    capsys.readouterr()
    worse = replace(DEFAULT, top_k=1, threshold=0.99)
    closed = evaluated(Wanted(golden_file, html_file=report, against=baseline), parts, worse)
    printed = capsys.readouterr().out

    assert (first, same, closed) == (False, False, True)
    assert "The gate is closed." in printed
    assert "q0: How many days of paid leave" in printed
    assert "right → refused" in printed
    assert "The gate is closed" in report.read_text(encoding="utf-8")


def test_a_floor_that_is_not_reached_closes_the_gate(parts, golden_file, capsys):
    assert not evaluated(Wanted(golden_file, floors=("ndcg=0.9", "wrong=0.1")), parts, DEFAULT)
    assert evaluated(Wanted(golden_file, floors=("em=0.9",)), parts, DEFAULT)
    assert "is broken" in capsys.readouterr().out


def test_a_limit_takes_questions_evenly(parts, golden_file, tmp_path, capsys):
    result = tmp_path / "result.json"
    evaluated(Wanted(golden_file, json_file=result, limit=3), parts, DEFAULT)

    assert [row["id"] for row in json.loads(result.read_text())["outcomes"]] == ["q0", "q2", "q4"]


def test_a_dash_prints_json_and_nothing_else(parts, golden_file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluated(Wanted(golden_file, json_file=Path("-")), parts, DEFAULT)

    printed = capsys.readouterr().out
    whole = json.loads(printed[printed.index("{\n") :])  # after the log lines, which a command sends elsewhere

    assert whole["outcomes"][0]["verdict"] == "right"
    assert not (tmp_path / "-").exists()


# --- the command itself -----------------------------------------------------------------------------------------


@pytest.fixture
def metier(tmp_path, monkeypatch, capsys, sqlite_url):
    """Run one command beside a migrated, empty catalog."""
    return commands(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "There is no golden set."),
        (("absent.jsonl",), "cannot be read"),
        (("bad.jsonl",), "bad.jsonl, line 2: this is not JSON"),
        (("set.jsonl", "--against", "absent.json"), "cannot be read"),
        (("set.jsonl", "--against", "bad.jsonl"), "cannot be read"),
        (("set.jsonl", "--floor", "beauty=1"), "is no floor"),
        (("set.jsonl", "--json", "no/such/folder/x.json"), "cannot be written"),
        (("set.jsonl", "--json", "old.json", "--against", "old.json"), "overwrite"),
        (("set.jsonl", "--top-k", "0"), "--top-k"),
        (("set.jsonl", "--specialist", "nobody"), "nobody"),
        (("--make", "set.jsonl"), "exists"),
        (("--make", "new.jsonl"), "No question can be made"),
    ],
)
def test_what_cannot_be_evaluated_is_exit_code_2_and_not_a_closed_gate(
    metier, golden_file, tmp_path, arguments, reason
):
    (tmp_path / "bad.jsonl").write_text('{"question": "x", "answers": ["y"]}\n{', encoding="utf-8")
    code, _, error = metier("evaluate", *arguments)

    assert code == 2
    assert reason in error


def test_the_whole_command_with_the_packaged_model(metier, golden_file, tmp_path):
    folder = tmp_path / "handbook"
    folder.mkdir()
    for name in ("leave.md", "office.md", "pump.md", "conges.md"):
        (folder / name).write_text(FILES[name], encoding="utf-8")
    metier("sources", "add", "handbook", folder)
    assert metier("sync")[0] == 0

    assert metier("evaluate", "set.jsonl", "--json", "base.json", "--html", "base.html")[0] == 0
    code, _, error = metier("evaluate", "set.jsonl", "--against", "base.json", "--threshold", "0.9999", "--no-curve")
    made = metier("evaluate", "--make", "made.jsonl", "--count", "4")

    assert code == 1, error
    assert "mail.eml" in error  # the one expected document that is not there
    assert made[0] == 0
    assert "made by rule" in made[2]
    assert metier("evaluate", "made.jsonl")[0] == 0
