"""Prometheus metrics of one application: what was asked, and what the catalog holds at the moment of the scrape.

No label takes a value from a user (a name, a uri, a question): labels are finite and tell nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from app.events import Done, Quick, Sources, Token

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from app.events import Event

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 180)


class Metrics:
    """Counters and gauges with a registry of their own, so that two applications in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.questions = Counter(
            "metier_questions_total",
            "Questions by how they ended: stop, length, abstained, failed, cancelled.",
            ["outcome"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "metier_answer_seconds",
            "Seconds from the question to: sources (retrieval), first_token, end.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.answering = Gauge("metier_answers_in_progress", "Answers being made now.", registry=self.registry)
        self.documents = Gauge("metier_documents", "Documents in the catalog.", registry=self.registry)
        self.chunks = Gauge("metier_chunks", "Chunks in the catalog.", registry=self.registry)
        self.failures = Gauge("metier_failures", "Documents that could not be read.", registry=self.registry)
        self.held = Gauge("metier_sources_held", "Sources whose gate is closed.", registry=self.registry)
        self.running = Gauge("metier_runs_in_progress", "Synchronisations going on now.", registry=self.registry)
        self.seq = Gauge("metier_changelog_seq", "Position of the change log.", registry=self.registry)
        self.leak = Gauge(
            "metier_permission_leak",
            "1 while an index gave out what it must not and was put aside.",
            registry=self.registry,
        )
        self._add_slack()
        self.generating = Gauge(
            "metier_generator_questions", "Questions that the generator answers or has waiting.", registry=self.registry
        )

    def _add_slack(self) -> None:
        self.slack_stored = Histogram(
            "metier_slack_stored_seconds",
            "Seconds until something that Slack sent was stored, and could be acknowledged.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.slack_jobs = Counter(
            "metier_slack_jobs_total",
            "Attempts at jobs of Slack by kind and how they ended: done, again, failed, lost.",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self.slack_calls = Counter(
            "metier_slack_calls_total",
            "Calls to Slack by how they ended: ok, refused, unreachable; rate_limited: waited, and called again.",
            ["outcome"],
            registry=self.registry,
        )
        self.slack_waiting = Gauge("metier_slack_jobs_waiting", "Jobs of Slack that wait.", registry=self.registry)
        self.slack_silence = Gauge(
            "metier_slack_last_event_seconds", "Seconds since Slack sent something.", registry=self.registry
        )

    def watched(self, events: Iterator[Event]) -> Generator[Event, None, None]:
        """Yield *events* and count them; an answer whose reader leaves counts as cancelled."""
        started = time.monotonic()
        outcome = "failed"
        waiting_for_token = True
        self.answering.inc()
        try:
            for event in events:
                elapsed = time.monotonic() - started
                match event:
                    case Sources():
                        self.seconds.labels("sources").observe(elapsed)
                    case Quick() | Token() if waiting_for_token and event.text:
                        waiting_for_token = False
                        self.seconds.labels("first_token").observe(elapsed)
                    case Done():
                        outcome = event.finish_reason
                        self.seconds.labels("end").observe(elapsed)
                yield event
        except GeneratorExit:
            outcome = "cancelled"
            raise
        finally:
            self.answering.dec()
            self.questions.labels(outcome).inc()
            close = getattr(events, "close", None)
            if close is not None:
                close()

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
