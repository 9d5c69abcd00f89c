"""``metier ask`` and ``metier search``."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, assert_never

import typer

from app.cli_open import load_settings, local_scope, open_parts, quiet_logs

if TYPE_CHECKING:
    from app.events import Abstained, Citation, Failed
    from app.parts import Parts
    from app.specialists import Specialist
    from indexing.documents import Passage

Question = Annotated[str, typer.Argument(help="The question, in quotation marks.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]


def ask(
    question: Question,
    specialist: Annotated[str | None, typer.Option(help="Name of the specialist that answers.")] = None,
    as_json: Json = False,
) -> None:
    """Answer a question from the documents, with citations."""
    from app import specialists

    settings = load_settings()
    quiet_logs("error")
    with open_parts(settings) as parts:
        chosen = specialists.DEFAULT
        if specialist is not None:
            with parts.catalog.reading() as session:
                chosen = specialists.specialist(session, specialist)
        failed = _print_json_answer(parts, question, chosen) if as_json else show_answer(parts, question, chosen)
    if failed:
        raise typer.Exit(1)


def show_answer(parts: Parts, question: str, chosen: Specialist) -> bool:
    """Print the answer as it is made, then its citations; return whether it failed."""
    from app.answer import answer
    from app.cli_show import clean
    from app.events import Abstained, Citations, Done, Failed, Sources, Token

    failed = False
    with closing(answer(question, local_scope(parts.catalog), parts, specialist=chosen)) as events:
        for event in events:
            match event:
                case Sources() | Done():
                    pass
                case Token():
                    sys.stdout.write(clean(event.text))
                    sys.stdout.flush()
                case Citations():
                    _show_citations(event.citations)
                case Abstained():
                    _show_abstention(event)
                case Failed():
                    failed = True
                    _show_failure(event)
                case _:
                    assert_never(event)
    return failed


def _show_citations(citations: tuple[Citation, ...]) -> None:
    from app.cli_show import say

    say("\n")
    for cited in citations:
        page = f", page {cited.page}" if cited.page is not None else ""
        say(f"[{cited.number}] {_one_line(cited.title)}{page} ({cited.source}: {cited.uri})")
        say(f"    “{_one_line(cited.quote)}”")


def _show_abstention(event: Abstained) -> None:
    from app.cli_show import say

    say(event.message)
    for passage in event.closest:
        say(f"  - {_one_line(passage.title)} ({passage.source}: {passage.uri})")


def _show_failure(event: Failed) -> None:
    from app.cli_show import remark

    remark(f"\nError: {event.message} {event.remedy}".rstrip())


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _print_json_answer(parts: Parts, question: str, chosen: Specialist) -> bool:
    """Print what POST /v1/ask returns; return whether the answer failed."""
    from app.answer import answer
    from app.cli_show import print_json
    from app.events import Abstained, Citations, Done, Failed, Sources, Token

    shown: dict[str, Any] = {"text": "", "citations": [], "abstained": None, "failed": None, "sources": []}
    for event in answer(question, local_scope(parts.catalog), parts, specialist=chosen):
        match event:
            case Sources():
                shown["sources"] = [asdict(p) for p in event.passages]
            case Token():
                shown["text"] += event.text
            case Citations():
                shown["citations"] = [asdict(c) for c in event.citations]
            case Abstained():
                shown["abstained"] = asdict(event)
            case Failed():
                shown["failed"] = asdict(event)
            case Done():
                shown |= {**asdict(event), "specialist": chosen.name}
            case _:
                assert_never(event)
    print_json(shown)
    return shown["failed"] is not None


def search(
    question: Question,
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, max=50, help="Most passages.")] = None,
    source: Annotated[list[str] | None, typer.Option(help="Name of a source to search; may be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """List the passages that answer best, without writing an answer."""
    from app.answer import clean_question
    from app.cli_show import print_json
    from app.places import source_named
    from app.retrieve import retrieve

    settings = load_settings()
    quiet_logs("error")
    with open_parts(settings) as parts:
        wanted = frozenset(source_named(parts.catalog, name).id for name in source or ()) or None
        found = retrieve(
            clean_question(question, settings.question_chars),
            scope=local_scope(parts.catalog),
            catalog=parts.catalog,
            index=parts.index,
            embedder=parts.embedder,
            top_k=top_k or settings.top_k,
            source_ids=wanted,
        )
    if as_json:
        print_json({"passages": found.passages, "language": found.language, "indexed_through": found.seq})
        return
    _show_passages(found.passages)


def _show_passages(passages: tuple[Passage, ...]) -> None:
    from app.cli_show import remark, say

    if not passages:
        remark("Nothing was found. `metier sources list` shows what is indexed.")
    for number, passage in enumerate(passages, 1):
        page = f", page {passage.page}" if passage.page is not None else ""
        say(f"{number}. {_one_line(passage.title)}{page} ({passage.source}: {passage.uri}) score {passage.score:.4f}")
        say(f"   {_one_line(passage.text)}")
