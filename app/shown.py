"""What of a generator's text may be shown: no invented markers, and nothing that a reader's program would act on.

Whoever renders an answer as Markdown or HTML, a chat window we know nothing of, must not be made to fetch a picture
or follow a link that a document planted (EchoLeak, CVE-2025-32711). So addresses lose their scheme, and the signs
that make links, pictures and tags are taken apart, here, on the server, while the text streams. What comes out
never depends on how the text was split, and nothing that was let out is taken back.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from app.cite import MarkerFilter

#: "https://", also with more colons and slashes around it, so that taking it out cannot put a new one together.
_SCHEME = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]{0,15})?[:/]*://[:/]*")
_LINK = re.compile(r"(?P<bracket>\])(?=[(:])|(?P<bang>!)(?=\[)|(?P<angle><)(?=[A-Za-z/!?])")
#: What may still become one of these when more text arrives.
_SCHEME_PENDING = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]{0,15}[:/]*|[:/]+)\Z")
_LINK_PENDING = re.compile(r"[\]!<]+\Z")
_LINE_BREAKS = "\n\t"
_APART = {"bracket": "] ", "bang": "! ", "angle": "‹"}


@dataclass
class ShownText:
    """A generator's text on its way to the reader, piece by piece."""

    passage_count: int
    _markers: MarkerFilter = field(init=False)
    _schemes: _Substitution = field(init=False)
    _links: _Substitution = field(init=False)

    def __post_init__(self) -> None:
        """Put the filters in a row; each keeps the promise for any split, so the row does."""
        self._markers = MarkerFilter(self.passage_count)
        self._schemes = _Substitution(_SCHEME, _SCHEME_PENDING)
        self._links = _Substitution(_LINK, _LINK_PENDING)

    def feed(self, piece: str) -> str:
        """Return what can be shown now."""
        return self._links.feed(self._schemes.feed(self._markers.feed(visible(piece))))

    def finish(self) -> str:
        """Return what was held back; there will be no more text."""
        text = self._schemes.feed(self._markers.finish()) + self._schemes.finish()
        return self._links.feed(text) + self._links.finish()


def shown(text: str, passage_count: int) -> str:
    """Return *text* as :class:`ShownText` would let it through."""
    whole = ShownText(passage_count)
    return whole.feed(text) + whole.finish()


def visible(text: str) -> str:
    """Return *text* without control characters, invisible formatting and halves of surrogate pairs."""
    return "".join(
        each for each in text if each in _LINE_BREAKS or unicodedata.category(each) not in ("Cc", "Cf", "Cs")
    )


@dataclass
class _Substitution:
    """Substitutes what *pattern* finds, holding back what *pending* says may become more."""

    pattern: re.Pattern[str]
    pending: re.Pattern[str]
    _held: str = ""

    def feed(self, piece: str) -> str:
        self._held += piece
        pending = self.pending.search(self._held)
        cut = pending.start() if pending else len(self._held)
        ready, self._held = self._held[:cut], self._held[cut:]
        return self.pattern.sub(_apart, ready)

    def finish(self) -> str:
        ready, self._held = self._held, ""
        return self.pattern.sub(_apart, ready)


def _apart(match: re.Match[str]) -> str:
    return _APART.get(match.lastgroup or "", "")
