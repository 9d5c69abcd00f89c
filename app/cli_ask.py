"""``metier ask`` and ``metier search``."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, assert_never

import typer

from app.cli_open import load_settings, local_scope, local_specialist, open_parts, quiet_logs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.events import Abstained, Citation, Event, Failed
    from app.parts import Parts
    from app.specialists import Specialist
    from indexing.documents import Passage

Question = Annotated[str, typer.Argument(help="The question, in quotation marks.")]
_KEPT = {
    "unsupported": "The documents do not support the fuller answer: the first one stands.",
    "failed": "The generator did not finish the fuller answer: the first one stands.",
}

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]


def ask(
    question: Question,
    specialist: Annotated[str | None, typer.Option(help="Name of the specialist that answers.")] = None,
    as_json: Json = False,
) -> None:
    """Answer a question from the documents, with citations."""
    settings = load_settings()
    quiet_logs("error")
    with open_parts(settings) as parts:
        chosen = local_specialist(parts.catalog, specialist)
        failed = _print_json_answer(parts, question, chosen) if as_json else show_answer(parts, question, chosen)
    if failed:
        raise typer.Exit(1)


def show_answer(parts: Parts, question: str, chosen: Specialist) -> bool:
    """Print the answer as it is made, then its citations; return whether it failed."""
    from app.answer import answer

    with closing(answer(question, local_scope(parts.catalog), parts, specialist=chosen)) as events:
        return show_events(events)


def show_events(events: Iterable[Event]) -> bool:
    """Print an answer's *events* as they come; return whether it failed.

    What a terminal has shown stays: a fuller answer is printed below the quick one, and when the quick one stands, a
    line says so.
    """
    from app.cli_show import clean, remark
    from app.disclosure import notice
    from app.events import Abstained, Citations, Done, Failed, Kept, Quick, Sources, Token

    failed = False
    for event in events:
        match event:
            case Sources():
                pass
            case Done():
                remark(f"\n{notice(event.language)}")
            case Token():
                sys.stdout.write(clean(event.text))
                sys.stdout.flush()
            case Quick():
                sys.stdout.write(clean(event.text))
                _show_citations(event.citations)
                remark("\nA fuller answer is being written …\n")
            case Citations():
                _show_citations(event.citations)
            case Kept():
                remark(f"\n{_KEPT[event.reason]}")
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
    from app.shown import unlinked

    say("\n")
    for cited in citations:
        page = f", page {cited.page}" if cited.page is not None else ""
        say(f"[{cited.number}] {unlinked(cited.title)}{page} ({cited.source}: {unlinked(cited.uri)})")
        say(f"    “{unlinked(cited.quote)}”")


def _show_abstention(event: Abstained) -> None:
    from app.cli_show import say
    from app.shown import unlinked

    say(event.message)
    for passage in event.closest:
        say(f"  - {unlinked(passage.title)} ({passage.source}: {unlinked(passage.uri)})")


def _show_failure(event: Failed) -> None:
    from app.cli_show import remark

    remark(f"\nError: {event.message} {event.remedy}".rstrip())


def _print_json_answer(parts: Parts, question: str, chosen: Specialist) -> bool:
    """Print what POST /v1/ask returns; return whether the answer failed."""
    from app.answer import answer

    with closing(answer(question, local_scope(parts.catalog), parts, specialist=chosen)) as events:
        return print_json_events(events, chosen)


def print_json_events(events: Iterable[Event], chosen: Specialist) -> bool:
    """Print an answer's *events* as one JSON object; return whether it failed."""
    from app.cli_show import print_json
    from app.events import Abstained, Done, Failed, Sources, settled

    shown: dict[str, Any] = {"text": "", "citations": [], "abstained": None, "failed": None, "sources": []}
    heard = list(events)
    shown["text"], citations = settled(heard)
    shown["citations"] = [asdict(each) for each in citations]
    for event in heard:
        match event:
            case Sources():
                shown["sources"] = [asdict(p) for p in event.passages]
                shown["searched_for"] = event.question
            case Abstained():
                shown["abstained"] = asdict(event)
            case Failed():
                shown["failed"] = asdict(event)
            case Done():
                shown |= {**asdict(event), "specialist": chosen.name}
    print_json(shown)
    return shown["failed"] is not None


def search(
    question: Question,
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, max=50, help="Most passages.")] = None,
    source: Annotated[list[str] | None, typer.Option(help="Name of a source to search; may be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """List the passages that answer best, without writing an answer."""
    from app import audit
    from app.answer import clean_question
    from app.cli_show import print_json
    from app.places import source_named
    from app.retrieve import retrieve
    from indexing.tables import LOCAL_PRINCIPAL_ID

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
        audit.note(parts.catalog, LOCAL_PRINCIPAL_ID, "document.search")
    if as_json:
        print_json({"passages": found.passages, "language": found.language, "indexed_through": found.seq})
        return
    _show_passages(found.passages)


def _show_passages(passages: tuple[Passage, ...]) -> None:
    from app.cli_show import remark, say
    from app.shown import unlinked

    if not passages:
        remark("Nothing was found. `metier sources list` shows what is indexed.")
    for number, passage in enumerate(passages, 1):
        page = f", page {passage.page}" if passage.page is not None else ""
        where = f"{passage.source}: {unlinked(passage.uri)}"
        say(f"{number}. {unlinked(passage.title)}{page} ({where}) score {passage.score:.4f}")
        say(f"   {unlinked(passage.text)}")
