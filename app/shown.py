r"""What of a generator's text may be shown: no invented markers, and nothing that a reader's program would act on.

Whoever renders an answer as Markdown or HTML, a chat window we know nothing of, must not be made to fetch a picture
or follow a link that a document planted (EchoLeak, CVE-2025-32711). So addresses lose their scheme, and the signs
that make links, pictures, tags and mentions are taken apart, here, on the server, while the text streams. What comes
out never depends on how the text was split, and nothing that was let out is taken back.

Bare host names ("portal.example/leave", "thief@mail.example", "notes.md") need no sign to become links: many programs
link whatever ends like a domain. They stay readable, but their dots are written as one dot leaders (U+2024): it looks
the same, and no linking program takes it for part of a name. The same is done to "@here" (U+FF20), to "javascript:"
(U+FF1A), to TeX's "\href" (U+FF3C) and to the third sign of a code fence (U+FF40), for some programs run what stands in
one. Unicode's compatibility form (NFKC) of each is the sign it stands for, so who compares answers with documents can
get it back; the citation has the document's own characters.

In JSON the fields ``quote``, ``title``, ``uri`` and a passage's ``text`` are the document's exact characters: data, not
to be rendered as Markdown or HTML. Where we render them ourselves they go through :func:`plain` or :func:`unlinked`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.cite import MARKER, PENDING_MARKER, MarkerFilter

if TYPE_CHECKING:
    from collections.abc import Callable

#: "https://", also with more colons and slashes around it, so that taking it out cannot put a new one together;
#: browsers take a backslash for a slash. And "//host", "\\host": relative to whatever shows it, or a share.
_SCHEME = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]{0,15})?[:/\\]*:[/\\]{2}[:/\\]*|(?<![\w:/\\])[/\\]{2,}(?=[\w\[])")
_SCHEME_PENDING = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]{0,15}[:/\\]*|[:/\\]+)\Z")
#: Schemes that work without slashes.
_BARE_SCHEMES = (
    "javascript vbscript livescript data mailto tel sms callto facetime skype slack xmpp sip file blob filesystem "
    "about view-source intent magnet jar http https ftp ws wss"
)
_AFTER_SCHEME = "|".join(rf"(?<=\b{each})" for each in _BARE_SCHEMES.split())
_SIGN = re.compile(
    r"(?P<bracket>\])(?=[(:])"  # [text](address), [name]: address
    r"|(?P<bang>!)(?=\[)"  # ![picture]
    r"|(?P<angle><)(?=[^\s\d=])"  # <tag, <!channel>, <@user>, <|token|>
    r"|(?P<dot>(?<=[\w-])[.．｡](?=[^\W\d_]{2})|(?<=[A-Za-z0-9-])。(?=[A-Za-z]{2}))"  # host.example
    r"|(?P<ip>(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?=[/:]\w))"  # 203.0.113.7/path
    r"|(?P<at>(?<!\w)@(?=\w))"  # @channel
    rf"|(?P<colon>(?:{_AFTER_SCHEME}):(?=\S))"  # javascript:, mailto:
    r"|(?P<tex>\\)(?=href|url|includegraphics|html)"
    r"|(?P<fence>(?<=``)`|(?<=~~)~)",  # ```mermaid, ```html: some programs run what stands in there
    re.IGNORECASE,
)
#: What may still become one of these when more text arrives.
_SIGN_PENDING = re.compile(
    r"(?:[\]!<@:]|[.．｡。][^\W\d_]?|(?<![\d.])\d[\d.]{0,14}[/:]?|\\[a-z]{0,15})\Z", re.IGNORECASE
)
_CONTEXT = 24  # characters before a sign that decide what it is
_APART = {"bracket": "] ", "bang": "! ", "angle": "‹", "dot": "․", "at": "＠", "colon": "：", "tex": "＼"}
_FENCE = {"`": "｀", "~": "～"}
_LINE_BREAKS = "\n\t"
#: Invisible although not called so: fillers, joiners of graphemes, variation selectors (text hides in those), tags.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2028\u2029\u2800\u3164\ufe00-\ufe0e\uffa0\U000e0000-\U000e0fff]"
)
#: What Markdown gives a meaning to: in a title it could become a link or a picture that calls out.
_MARKUP = re.compile(r"[\\`*_\[\]()<>!|#~&]")


@dataclass
class ShownText:
    """A generator's text on its way to the reader, piece by piece."""

    passage_count: int
    _markers: MarkerFilter = field(init=False)
    _schemes: Substitution = field(init=False)
    _signs: Substitution = field(init=False)
    _leftovers: Substitution = field(init=False)

    def __post_init__(self) -> None:
        """Put the filters in a row; each keeps the promise for any split, so the row does."""
        self._markers = MarkerFilter(self.passage_count)
        self._schemes = Substitution(_SCHEME, _SCHEME_PENDING, _nothing)
        # Taking one marker out of another may leave a third: "[9[9]9]". It is no marker in round brackets.
        self._leftovers = Substitution(MARKER, PENDING_MARKER, self._rounded)
        self._signs = Substitution(_SIGN, _SIGN_PENDING, _apart)

    def feed(self, piece: str) -> str:
        """Return what can be shown now."""
        text = self._schemes.feed(self._markers.feed(visible(piece)))
        return self._signs.feed(self._leftovers.feed(text))

    def finish(self) -> str:
        """Return what was held back; there will be no more text."""
        text = self._schemes.feed(self._markers.finish()) + self._schemes.finish()
        text = self._leftovers.feed(text) + self._leftovers.finish()
        return self._signs.feed(text) + self._signs.finish()

    def _rounded(self, match: re.Match[str]) -> str:
        known = all(1 <= int(each) <= self.passage_count for each in re.findall(r"\d+", match["ids"]))
        return match[0] if known else re.sub(r"[\[【]", "(", match[0], count=1)[:-1] + ")"


def shown(text: str, passage_count: int) -> str:
    """Return *text* as :class:`ShownText` would let it through."""
    whole = ShownText(passage_count)
    return whole.feed(text) + whole.finish()


def visible(text: str) -> str:
    """Return *text* without control characters, invisible formatting and halves of surrogate pairs."""
    kept = "".join(
        each for each in text if each in _LINE_BREAKS or unicodedata.category(each) not in ("Cc", "Cf", "Cs")
    )
    return _INVISIBLE.sub("", kept)


def unlinked(text: str) -> str:
    """Return a document's *text*, a title or a quote, on one line and without schemes: terminals link those."""
    return " ".join(_SCHEME.sub("", visible(text)).split())


def plain(text: str) -> str:
    """Return *text* on one line without Markdown's special characters and with nothing to link: for Markdown."""
    return _SIGN.sub(_apart, unlinked(_MARKUP.sub(" ", visible(text))))


@dataclass
class Substitution:
    """Substitutes what *pattern* finds, holding back what *pending* says may become more.

    *pattern* may look back _CONTEXT characters, over what was let out already.
    """

    pattern: re.Pattern[str]
    pending: re.Pattern[str]
    replace: Callable[[re.Match[str]], str]
    _before: str = ""
    _held: str = ""

    def feed(self, piece: str) -> str:
        """Return what can be let out now."""
        self._held += piece
        pending = self.pending.search(self._held)
        return self._let_out(pending.start() if pending else len(self._held))

    def finish(self) -> str:
        """Return what was held back; there will be no more text."""
        return self._let_out(len(self._held))

    def _let_out(self, cut: int) -> str:
        """Return the first *cut* held characters, substituted."""
        text, at = self._before + self._held, len(self._before)
        end = at + cut
        parts = []
        for match in self.pattern.finditer(text, at):
            if match.start() >= end:
                break
            parts += [text[at : match.start()], self.replace(match)]
            at = match.end()
        parts.append(text[at:end])
        end = max(at, end)
        self._before, self._held = text[max(0, end - _CONTEXT) : end], text[end:]
        return "".join(parts)


def _nothing(_: re.Match[str]) -> str:
    return ""


def _apart(match: re.Match[str]) -> str:
    if match.lastgroup == "ip":
        return match[0].replace(".", "․")
    return _FENCE.get(match[0]) or _APART[match.lastgroup or ""]
