"""The gate of a run: the golden questions of the specialists that answer from the source, asked before it is published.

Each question is asked twice, by the same specialist with the same generator: of what is served, and of what would be
served. Both are asked in the name of the local user, who for these questions reads the whole source; no answer is
recorded. The report says of each question how it came out, with figures and with names that the golden set has
itself: it never holds a word of a document, because who may operate need not be one who may read.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from app import audit
from app.errors import Conflict
from app.evaluate import evaluate, known_documents
from app.gate import check_floors, compare
from app.specialists import Asker
from app.specialists_golden import guards
from indexing import runs, store_candidate
from indexing.access import authorise
from indexing.errors import IndexingError
from indexing.tables import LOCAL_PRINCIPAL_ID
from indexing.trial import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from app.evaluate import Evaluation
    from app.gate import QuestionChange
    from app.measures import Outcome
    from app.parts import Parts
    from app.specialists import Specialist
    from app.specialists_golden import Kept
    from indexing.documents import Scope, SourceRecord
    from indexing.run_records import RunRecord
    from indexing.trial import Trial

log = structlog.get_logger(__name__)

_NAMED = 10


@dataclass(frozen=True)
class GoldenGate:
    """A gate that goes by golden sets; it guards the sources of specialists that have one."""

    parts: Parts

    def guards(self, source: SourceRecord) -> bool:
        """Say whether a specialist with a golden set answers from this source."""
        return bool(self._guards(source.name))

    def judge(self, served: Trial, candidate: Trial | None, progress: Callable[[int, int], None]) -> Verdict:
        """Return the verdict on the candidate; an evaluation that cannot be made closes the gate too."""
        trials = [served] if candidate is None else [served, candidate]
        chosen = self._guards(served.source)
        total = sum(len(kept.golden.questions) for _, kept in chosen) * len(trials)
        results = []
        before = 0
        for specialist, kept in chosen:
            try:
                found = self._evaluated(specialist, kept, trials, partial(_counted, progress, before, total))
                results.append(_result(specialist, kept, found))
            except IndexingError as exc:
                log.warning("The gate could not measure.", action="gate_failed", error=type(exc).__name__)
                results.append(_failed(specialist, kept, exc))
            before += len(kept.golden.questions) * len(trials)
        return Verdict(any(each["closes"] for each in results), {"specialists": results})

    def _guards(self, source: str) -> list[tuple[Specialist, Kept]]:
        with self.parts.catalog.reading() as session:
            anybody = Asker(authorise(session, LOCAL_PRINCIPAL_ID), every=True)
            return guards(session, anybody, source)

    def _evaluated(
        self, specialist: Specialist, kept: Kept, trials: list[Trial], progress: Callable[[int, int], None]
    ) -> list[Evaluation]:
        """Return an evaluation of each trial. A document that one of them lacks counts there as not found."""
        scopes = [self._scope(trial) for trial in trials]
        known = frozenset[str]().union(*(known_documents(kept.golden.questions, scope, self.parts) for scope in scopes))
        return [
            evaluate(
                kept.golden,
                scope,
                self.parts,
                specialist=specialist,
                ask_refused=False,
                known=known,
                progress=partial(progress, number * len(kept.golden.questions)),
            )
            for number, scope in enumerate(scopes)
        ]

    def _scope(self, trial: Trial) -> Scope:
        with self.parts.catalog.reading() as session:
            return authorise(session, LOCAL_PRINCIPAL_ID, trial=trial)


def _counted(progress: Callable[[int, int], None], before: int, total: int, already: int, done: int, _of: int) -> None:
    """Tell *progress* of one question of one trial of one specialist as a part of all."""
    progress(before + already + done, total)


def publish_held(session: Session, run: RunRecord, by: int) -> int:
    """Publish what the run holds in spite of its gate, and return how many documents changed by it.

    Raises Conflict when it holds nothing, or nothing any more.
    """
    if not runs.release(session, run):
        remedy = "Only the newest run of a source can be published, while it is held; `metier runs` lists them."
        raise Conflict(f"Run {run.id} holds nothing.", remedy=remedy)
    changed = store_candidate.publish(session, run.source_id)
    audit.record(session, by, "run.publish", run.id)
    return changed


# --- the report -----------------------------------------------------------------------------------------------


def _about(specialist: Specialist, kept: Kept) -> dict[str, Any]:
    return {
        "specialist": specialist.name,
        "version": specialist.version,
        "golden": kept.golden.name,
        "golden_sha256": kept.golden.sha256,
        "tolerance": kept.tolerance,
        "questions": len(kept.golden.questions),
    }


def _failed(specialist: Specialist, kept: Kept, exc: IndexingError) -> dict[str, Any]:
    """Say that nothing was measured. A message of a generator's server may quote what it was sent: it is left out."""
    return (
        _about(specialist, kept)
        | _EMPTY
        | {"closes": True, "error": f"It could not be measured: {type(exc).__name__}."}
    )


_EMPTY: dict[str, Any] = {"error": None, "measures": [], "floors": [], "worse": [], "better": [], "warnings": []}


def _result(specialist: Specialist, kept: Kept, found: list[Evaluation]) -> dict[str, Any]:
    """Return what came of one golden set; a single evaluation is compared with itself, and only floors can close."""
    before, after = found[0], found[-1]
    floors = check_floors(after, kept.floors)
    compared = compare(before, after, tolerance=kept.tolerance)
    return (
        _about(specialist, kept)
        | _EMPTY
        | {
            "closes": compared.closes or any(not each.holds for each in floors),
            "measures": [asdict(each) for each in compared.changes],
            "floors": [asdict(each) for each in floors],
            "worse": _questions(compared.worse, before, after),
            "better": _questions(compared.better, before, after),
            "warnings": _warnings(after),
        }
    )


def _warnings(after: Evaluation) -> list[str]:
    found = []
    if unknown := sorted({name for each in after.outcomes for name in each.unknown_documents}):
        found.append(f"Expected documents that are not in the index: {', '.join(unknown[:_NAMED])}")
    if failed := [each.failed for each in after.outcomes if each.failed]:
        found.append(f"{len(failed)} questions failed; the first one: {failed[0].partition(':')[0]}")
    return found


def _questions(changes: tuple[QuestionChange, ...], before: Evaluation, after: Evaluation) -> list[dict[str, Any]]:
    """Return what changed for each question, without the texts of the answers."""
    old, new = ({each.id: each for each in result.outcomes} for result in (before, after))
    return [
        {
            "id": each.id,
            "question": each.question,
            "reasons": list(each.reasons),
            "before": old[each.id].verdict,
            "after": new[each.id].verdict,
            "documents": _ranks(old[each.id], new[each.id]),
        }
        for each in changes
    ]


def _ranks(before: Outcome, after: Outcome) -> list[dict[str, Any]]:
    """Return the place of each expected document among those found, before and after; None: not found."""
    return [
        {"document": name, "before": _place(name, before.ranked), "after": _place(name, after.ranked)}
        for name in after.documents
    ]


def _place(name: str, ranked: tuple[str, ...]) -> int | None:
    return ranked.index(name) + 1 if name in ranked else None
