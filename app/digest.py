"""What a message about trouble says: names of sources, kinds and counts; never the name or the text of a document."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from app.mail import mail_server
from indexing.tables import utc_now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexing.targets import Message, Notice

#: Lines of one message; of more only the number is told.
LINES = 100


@dataclass(frozen=True, slots=True)
class Wording:
    """One language's wording."""

    subject_one: str
    subject_many: str
    subject_over: str
    what: dict[str, str]  # by kind
    over: dict[str, str]
    still: str
    times: str
    counts: str
    more: str
    test: str
    why: str


ENGLISH = Wording(
    subject_one="Métier: 1 source needs attention",
    subject_many="Métier: {count} sources need attention",
    subject_over="Métier: all is well again",
    what={
        "run_failed": "the run failed",
        "run_held": "the run was held back and waits for a decision",
        "permissions_old": "its permissions are too old, so nobody can read it",
        "schedule_late": "its schedule has not succeeded for a while",
    },
    over={
        "run_failed": "a run succeeded again",
        "run_held": "a run succeeded again",
        "permissions_old": "its permissions are up to date again",
        "schedule_late": "its schedule succeeds again",
    },
    still="since {since}",
    times="{times} times",
    counts="{failed} documents could not be read",
    more="… and {count} more",
    test="This is a test: notifications arrive.",
    why="You get this because an administrator of Métier entered this address: `metier notify list`.",
)
FRENCH = Wording(
    subject_one="Métier : 1 source demande votre attention",
    subject_many="Métier : {count} sources demandent votre attention",
    subject_over="Métier : tout est rentré dans l’ordre",
    what={
        "run_failed": "la synchronisation a échoué",
        "run_held": "la synchronisation est suspendue et attend une décision",
        "permissions_old": "ses droits d’accès sont trop anciens : personne ne peut la lire",
        "schedule_late": "sa planification n’aboutit plus depuis un certain temps",
    },
    over={
        "run_failed": "une synchronisation a de nouveau réussi",
        "run_held": "une synchronisation a de nouveau réussi",
        "permissions_old": "ses droits d’accès sont de nouveau à jour",
        "schedule_late": "sa planification aboutit de nouveau",
    },
    still="depuis le {since}",
    times="{times} fois",
    counts="{failed} documents n’ont pas pu être lus",
    more="… et {count} autres",
    test="Ceci est un test : les notifications arrivent.",
    why="Vous recevez ce message parce qu’un administrateur de Métier a indiqué cette adresse : `metier notify list`.",
)


def latest(notices: Sequence[Notice]) -> list[tuple[Notice, int]]:
    """Return the last notice of each source and topic, problems first, and how often the thing happened."""
    last: dict[tuple[int, str], tuple[Notice, int]] = {}
    for each in notices:
        _, times = last.get((each.source_id, each.topic), (each, 0))
        last[each.source_id, each.topic] = (each, times + (each.times if each.phase != "over" else 0))
    return sorted(last.values(), key=lambda found: (found[0].phase == "over", found[0].source, found[0].topic))


def webhook_body(message: Message, public_url: str | None, at: str) -> dict[str, Any]:
    """Return the JSON of the message. With no notices it is a test."""
    found = latest(message.notices)
    return {
        "id": message.id,
        "type": "metier.digest" if found else "metier.test",
        "at": at,
        "events": [_event(each, times, public_url) for each, times in found[:LINES]],
        "left_out": max(0, len(found) - LINES),
    }


def _event(notice: Notice, times: int, public_url: str | None) -> dict[str, Any]:
    told = {
        "event": notice.kind,
        "phase": notice.phase,
        "source_id": notice.source_id,
        "source": notice.source,
        "run_id": notice.run_id,
        "times": times,
        "counts": dict(notice.counts),
        "since": notice.since.isoformat(timespec="seconds"),
        "at": notice.at.isoformat(timespec="seconds"),
    }
    return told | ({"url": link} if (link := _link(notice, public_url)) else {})


def _link(notice: Notice, public_url: str | None) -> str | None:
    if public_url is None:
        return None
    where = f"sources/{notice.source_id}" if notice.run_id is None else f"runs/{notice.run_id}"
    return f"{public_url.rstrip('/')}/v1/{where}"


@dataclass(frozen=True, slots=True)
class Told:
    """What a message says to a person, in the language of its target."""

    subject: str
    lines: tuple[tuple[str, str | None], ...]  # with the link to what each is about
    why: str


def told_of(message: Message, public_url: str | None) -> Told:
    """Return what the message says. With no notices it is a test."""
    words = FRENCH if message.target.wanted.language == "fr" else ENGLISH
    found = latest(message.notices)
    wrong = len({each.source_id for each, _ in found if each.phase != "over"})
    subject = (
        words.subject_many.format(count=wrong) if wrong > 1 else words.subject_one if wrong else words.subject_over
    )
    lines = [(_line(each, times, words), _link(each, public_url)) for each, times in found[:LINES]]
    if len(found) > LINES:
        lines.append((words.more.format(count=len(found) - LINES), None))
    return Told(subject if found else "Métier", tuple(lines or [(words.test, None)]), words.why)


def email(message: Message, public_url: str | None) -> EmailMessage:
    """Return the e-mail of the message. With no notices it is a test."""
    wanted = message.target.wanted
    told = told_of(message, public_url)
    server = mail_server(wanted.server or "")
    made = EmailMessage()
    made["Subject"] = told.subject
    made["From"] = server.user if "@" in server.user else f"metier@{server.host}"
    made["To"] = wanted.address
    made["Date"] = format_datetime(utc_now())
    made["Message-ID"] = f"<{message.id}@metier>"  # the same when it is sent again
    made["Auto-Submitted"] = "auto-generated"
    lines = [text + (f"\n  {link}" if link else "") for text, link in told.lines]
    made.set_content("\n".join([*lines, "", "-- ", told.why]))
    return made


def _line(notice: Notice, times: int, words: Wording) -> str:
    parts = [(words.over if notice.phase == "over" else words.what)[notice.kind]]
    if times > 1:
        parts.append(words.times.format(times=times))
    if notice.phase != "new":
        parts.append(words.still.format(since=f"{notice.since:%Y-%m-%d %H:%M} UTC"))
    if notice.counts.get("failed"):
        parts.append(words.counts.format(failed=notice.counts["failed"]))
    return f"{notice.source}: {', '.join(parts)}"
