"""What of a text may go to Slack: nothing in it becomes a link, a mention, an emoji, a picture or a format.

Two things make text act in Slack. The signs of its own markup (``<!channel>``, ``<@U…>``, ``<http…|…>``, ``*``, ``_``)
and those of Markdown, which streamed text is written in; and addresses, which Slack links wherever it sees one.
``app.shown`` takes apart what makes links and mentions anywhere; here ``&``, ``<`` and ``>`` become entities, and the
signs that format are written in their wide forms, which look alike and mean nothing. Unicode's compatibility form
(NFKC) of each is the sign itself. What comes out is as harmless in mrkdwn as in Markdown, and never depends on how the
text was split. Escape once: a second time would show the entities.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from app.shown import ShownText, Substitution, visible

#: Markers in an answer's text were checked where the answer was made; here each one stays.
_ANY_PASSAGE = 10**9
_SIGN = re.compile(
    r"(?P<entity>&)"
    r"|(?P<quote>(?<!\S)>)"  # at the start of a line it quotes
    r"|(?P<angle>[<>])"
    r"|(?P<wide>[*~`]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # leave_policy is a name; _leave_ is in italics
    r"|(?<!\S)\#"  # a heading, a channel
    r"|:(?=[\w+'-]{1,100}:)"  # :emoji:
    r"|(?<![^\W_])@"  # "_@here": a mention once the score before it is none
    r"|\\(?=[!-/:-@\[-`{-~]))"  # takes the meaning away from the sign after it, also from the & of an entity
)
#: What may still become one of these when more text arrives.
_SIGN_PENDING = re.compile(r"(?:_|:[\w+'-]{0,100}|\\)\Z")
_ENTITY = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
#: From "!" to "~" each sign has a wide form, in the same order.
_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
#: A place where an escaped text may be cut: not within an entity.
_OPEN_ENTITY = re.compile(r"&[a-z]{0,4}\Z")
ELLIPSIS = "…"
#: Characters that are looked at for each one that is shown: some are taken out, and a passage may be a whole page.
_READ_PER_SHOWN = 10


@dataclass
class Escaped:
    """A text on its way to Slack, piece by piece.

    ``"".join(map(feed, pieces)) + finish()`` is the same for every way of splitting a text into pieces, and nothing
    that was let out is taken back.
    """

    _shown: ShownText = field(default_factory=lambda: ShownText(_ANY_PASSAGE), init=False)
    _signs: Substitution = field(default_factory=lambda: Substitution(_SIGN, _SIGN_PENDING, _inert), init=False)

    def feed(self, piece: str) -> str:
        """Return what can be sent now."""
        return self._signs.feed(self._shown.feed(piece))

    def finish(self) -> str:
        """Return what was held back; there will be no more text."""
        return self._signs.feed(self._shown.finish()) + self._signs.finish()


def _inert(match: re.Match[str]) -> str:
    return _ENTITY[match[0]] if match.lastgroup in ("entity", "angle") else match[0].translate(_WIDE)


def mrkdwn(text: str) -> str:
    """Return *text* as mrkdwn that shows it: for sections, contexts and the text of a message; lines stay lines."""
    whole = Escaped()
    return whole.feed(text) + whole.finish()


def line(text: str, most: int = 300) -> str:
    """Return *text*, a title or a quote of a document, as mrkdwn on one line of at most *most* characters."""
    beginning = " ".join(visible(text[: most * _READ_PER_SHOWN]).split())
    # The bar ends an address in a link's "<address|label>".
    return cut(mrkdwn(beginning).replace("|", "｜"), most)


def words(text: str, most: int) -> str:
    """Return *text* for where Slack reads no markup (a button, a header, an option): one line, at most *most* long."""
    one_line = " ".join(visible(text).split())
    return one_line if len(one_line) <= most else one_line[: _border(one_line, most - 1)].rstrip() + ELLIPSIS


def cut(escaped: str, most: int) -> str:
    """Return what :func:`mrkdwn` made, or its beginning and "…" so that it has at most *most* characters.

    It is cut between words where there are any, and never within an entity.
    """
    return escaped if len(escaped) <= most else escaped[: _border(escaped, most - 1)].rstrip() + ELLIPSIS


def parts(escaped: str, most: int) -> list[str]:
    """Return what :func:`mrkdwn` made in pieces of at most *most* characters, in order; [] for blanks only."""
    found = []
    rest = escaped.strip()
    while len(rest) > most:
        border = _border(rest, most)
        found.append(rest[:border].rstrip())
        rest = rest[border:].lstrip()
    return [*found, rest] if rest else found


def pieces(escaped: str, most: int) -> list[str]:
    """Return *escaped* in pieces of at most *most* characters, none with half an entity; joined they are the text."""
    found = []
    while len(escaped) > most:
        border = _whole_entities(escaped, most)
        found.append(escaped[:border])
        escaped = escaped[border:]
    return [*found, escaped] if escaped else found


def _border(text: str, most: int) -> int:
    """Return where to cut at or before *most*: between lines or words if that keeps half, else between characters."""
    for sign in ("\n", " "):
        at = text.rfind(sign, 0, most + 1)
        if at >= most // 2 and at > 0:
            return at
    return _whole_entities(text, most)


def _whole_entities(text: str, most: int) -> int:
    within = _OPEN_ENTITY.search(text, max(0, most - 5), most)
    return within.start() if within and within.start() > 0 else most
