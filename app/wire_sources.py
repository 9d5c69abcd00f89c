"""What goes over HTTP about sources, documents, runs and failures. The rules are those of ``app/wire.py``."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictInt

from app.places import NewSource
from app.wire import Name, Text, Wire, example
from indexing.compare import is_parked
from indexing.store_lists import is_stale

if TYPE_CHECKING:
    from indexing.documents import FailureRecord, SourceRecord
    from indexing.schedules import Schedule

_SOURCE = {
    "id": 1,
    "name": "handbook",
    "kind": "folder",
    "location": "/srv/handbook",
    "options": {},
    "secret": None,
    "permissions_synced_at": "2026-03-02T09:00:00Z",
    "hidden": False,
    "asks": None,
}
_DOCUMENT = {
    "id": 17,
    "source_id": 1,
    "source": "handbook",
    "uri": "hr/leave.md",
    "parent_id": None,
    "title": "Leave policy",
    "media_type": "text/markdown",
    "size_bytes": 2310,
    "content_hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "language": "en",
    "modified_at": "2026-03-02T09:00:00Z",
    "indexed_at": "2026-03-02T09:01:00Z",
    "notes": [],
    "chunks": 9,
}


class SourceIn(Wire):
    """A place that documents come from: a folder of this server, a web site, or nothing but what is pushed to it."""

    model_config = example(name="handbook", kind="folder", location="/srv/handbook")

    name: Name
    kind: Annotated[Text, Field(max_length=32)] = "folder"
    location: Annotated[Text, Field(max_length=4096)] = Field(
        "", description="Of a folder: its absolute path. Of a web site: its address, or its sitemap's."
    )
    options: Annotated[
        dict[Annotated[Text, Field(max_length=32)], Annotated[Text, Field(max_length=4096)]], Field(max_length=20)
    ] = Field({}, description="What its kind may be told, name by name. No secrets.")
    secret: Annotated[Text, Field(max_length=64)] | None = Field(
        None, description="The name of the secret that it signs in with: a file on the server, never the secret itself."
    )

    def wanted(self) -> NewSource:
        """Return what is asked for."""
        return NewSource(self.name, self.kind, self.location, self.options, self.secret)


class SourceOut(Wire):
    """A source."""

    model_config = example(**_SOURCE)

    id: int
    name: str
    kind: str
    location: str
    options: dict[str, str]
    secret: str | None = Field(None, description="The name of the secret that it signs in with.")
    permissions_synced_at: datetime | None = Field(None, description="When its last complete listing began.")
    hidden: bool = Field(
        False, description="Its permissions are too old: until the next run nobody reads its documents."
    )

    asks: str | None = Field(
        None, description="Why its last listing deleted nothing: sync with confirm_deletions, or make it whole again."
    )

    @classmethod
    def of(cls, record: SourceRecord) -> SourceOut:
        """Return the body for *record*."""
        return cls(
            id=record.id,
            name=record.name,
            kind=record.kind,
            location=record.location,
            options=dict(record.options),
            secret=record.secret,
            permissions_synced_at=record.acl_synced_at,
            hidden=is_stale(record.acl_synced_at, record.acl_max_age_minutes),
            asks=record.asks,
        )


class SourcesOut(Wire):
    """All sources."""

    model_config = example(sources=[_SOURCE])

    sources: tuple[SourceOut, ...]


class EstimateOut(Wire):
    """What a run would take, from and to."""

    seconds: tuple[float, float]
    energy_wh: tuple[float, float] = Field(description="Of the processor alone; docs/runs.md tells how it is found.")
    basis: str = Field(description="What the estimate was measured on.")


class PlanOut(Wire):
    """What a run would do; nothing was changed to find out."""

    model_config = example(
        source="handbook",
        new=["hr/new.md"],
        changed=[],
        stale=[],
        unchanged=39,
        gone=[],
        retried=[],
        parked=[],
        bytes_to_read=2310,
        estimate={"seconds": [1.2, 4.0], "energy_wh": [0.001, 0.02], "basis": "the last 5 runs of this source"},
        problems=[],
    )

    source: str
    new: tuple[str, ...]
    changed: tuple[str, ...]
    stale: tuple[str, ...] = Field(description="As they were, but read by an older parser, chunker or model.")
    unchanged: int
    gone: tuple[str, ...]
    retried: tuple[str, ...] = Field(description="Failed before, and tried again.")
    parked: tuple[str, ...] = Field(description="Failed before, not changed since: not tried again.")
    bytes_to_read: int
    estimate: EstimateOut
    problems: tuple[str, ...]


class SyncIn(Wire):
    """How to run."""

    model_config = example(confirm_deletions=False, force=False, when="now")

    confirm_deletions: StrictBool = Field(False, description="Delete documents even if implausibly many are gone.")
    force: StrictBool = Field(False, description="Serve what is read at once, without asking the gate.")
    when: Literal["now", "after"] = Field(
        "now", description="While a run goes on: now is refused (409), after begins one more when it has ended."
    )


class ProgressOut(Wire):
    """Where a run is."""

    model_config = example(
        stage="read",
        done=12,
        total=40,
        uri="hr/leave.md",
        bytes_done=23100,
        bytes_total=90000,
        seconds_left=31.5,
        since="2026-03-02T09:00:04Z",
        moved_at="2026-03-02T09:00:09Z",
        waiting=False,
    )

    stage: str = Field(description="list, compare, read, embed or store.")
    done: int
    total: int = Field(description="0 while it is unknown.")
    uri: str = Field("", description="The item that was just finished, where it may be told.")
    bytes_done: int
    bytes_total: int
    seconds_left: float | None = Field(None, description="An estimate, by earlier runs and by this one.")
    since: datetime | None = Field(None, description="When this stage began.")
    moved_at: datetime | None = Field(None, description="When something was last finished.")
    waiting: bool = Field(False, description="The server that is read asked us to wait.")


class RunOut(Wire):
    """One synchronisation of one source."""

    model_config = example(
        id=3,
        source_id=1,
        source="handbook",
        state="running",
        started_at="2026-03-02T09:00:00Z",
        finished_at=None,
        report={"listed": 40, "added": 12},
        error=None,
        beat_at="2026-03-02T09:00:10Z",
        cancel_asked_at=None,
        progress=None,
    )

    id: int
    source_id: int
    source: str
    state: str = Field(description="running, succeeded, held (the gate is closed), failed or cancelled.")
    started_at: datetime
    finished_at: datetime | None
    report: dict[str, Any] = Field(description="Counts of documents and chunks; while it runs, those so far.")
    error: str | None
    beat_at: datetime | None = Field(description="Its last sign of life; after two minutes without one it is lost.")
    cancel_asked_at: datetime | None = Field(description="When somebody asked it to stop.")
    progress: ProgressOut | None = Field(description="Where it is, or where it ended.")
    followed: bool = Field(False, description="Of a run that was asked for with `after`: one more begins after this.")


class RunsOut(Wire):
    """Runs, newest first."""

    runs: tuple[RunOut, ...]


class FailureOut(Wire):
    """A document that could not be read, and what to do about it."""

    model_config = example(
        source_id=1,
        source="handbook",
        uri="scans/old.pdf",
        stage="parse",
        error="EncryptedDocument",
        reason="The file is protected by a password.",
        remedy="Save a copy without the password.",
        attempts=1,
        parked=True,
        at="2026-03-02T09:01:00Z",
    )

    source_id: int
    source: str
    uri: str
    stage: str
    error: str
    reason: str
    remedy: str
    attempts: int
    parked: bool = Field(description="Not tried again while the file and the program that reads it are the same.")
    at: datetime

    @classmethod
    def of(cls, record: FailureRecord) -> FailureOut:
        """Return the body for *record*, which keeps the failure itself apart."""
        failure = record.failure
        return cls(
            source_id=record.source_id,
            source=record.source,
            uri=failure.uri,
            stage=failure.stage,
            error=failure.error,
            reason=failure.reason,
            remedy=failure.remedy,
            attempts=record.attempts,
            parked=is_parked(failure.stage, failure.error, record.attempts),
            at=record.at,
        )


class FailuresOut(Wire):
    """Documents that could not be read."""

    failures: tuple[FailureOut, ...]


class DocumentOut(Wire):
    """A document of the catalog."""

    model_config = example(**_DOCUMENT)

    id: int
    source_id: int
    source: str
    uri: str
    parent_id: int | None = Field(description="Of an attachment: the mail that it came with.")
    title: str
    media_type: str | None
    size_bytes: int
    content_hash: str = Field(description="sha256 of the bytes that were read.")
    language: str
    modified_at: datetime | None
    indexed_at: datetime
    notes: tuple[str, ...] = Field(description="What was left out, in plain words.")
    chunks: int


class DocumentsOut(Wire):
    """Documents in the order of their ids; ``next_after`` is the ``after`` of the next page."""

    model_config = example(documents=[_DOCUMENT], next_after=None)

    documents: tuple[DocumentOut, ...]
    next_after: int | None


class PushedOut(Wire):
    """The document is stored and found by the next question."""

    model_config = example(document_id=17, uri="hr/leave.md", content_hash="9f86d081884c7d65…", created=True)

    document_id: int
    uri: str
    content_hash: str
    created: bool


class ScheduleIn(Wire):
    """When to synchronise a source."""

    model_config = example(cron="0 6 * * 1-5", timezone="Europe/Paris", jitter_minutes=5, quiet="", paused=False)

    cron: Annotated[Text, Field(max_length=100)] = Field(description="Five fields, as cron reads them.")
    timezone: Annotated[Text, Field(max_length=64)] = Field("UTC", description="IANA name of the time zone.")
    jitter_minutes: Annotated[StrictInt, Field(ge=0, le=1440)] = Field(
        0, description="Begin so many minutes later at most, each source at its own share of it."
    )
    quiet: Annotated[Text, Field(max_length=11)] = Field(
        "", description='Hours in which nothing begins, such as "08:00-18:00"; a run is put off until they end.'
    )
    paused: StrictBool = Field(False, description="Keep the schedule, and begin nothing.")


class ScheduleOut(Wire):
    """The schedule of a source."""

    model_config = example(
        source_id=1,
        source="handbook",
        cron="0 6 * * 1-5",
        timezone="Europe/Paris",
        jitter_minutes=5,
        quiet="",
        paused=False,
        next_at="2026-03-02T05:02:10Z",
        failed_in_row=0,
        asks=None,
    )

    source_id: int
    source: str
    cron: str
    timezone: str
    jitter_minutes: int
    quiet: str
    paused: bool
    next_at: datetime = Field(description="When the next run begins; at once if that has passed.")
    failed_in_row: int = Field(description="Runs that failed since the last good one.")
    asks: str | None = Field(None, description="Of its source: why nothing is deleted before somebody confirms it.")

    @classmethod
    def of(cls, schedule: Schedule, source: SourceRecord) -> ScheduleOut:
        """Return the body for *schedule*, of *source*."""
        timing = schedule.timing
        return cls(
            source_id=schedule.source_id,
            source=source.name,
            cron=timing.cron,
            timezone=timing.timezone,
            jitter_minutes=timing.jitter_s // 60,
            quiet=timing.quiet,
            paused=schedule.paused,
            next_at=schedule.next_at,
            failed_in_row=schedule.failed_in_row,
            asks=source.asks,
        )


class SchedulesOut(Wire):
    """Schedules, the next run first."""

    schedules: tuple[ScheduleOut, ...]
