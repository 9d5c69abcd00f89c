"""A generator's text, let out sentence by sentence, each only when authorised passages support it.

What a model writes is split into sentences and list lines while it streams. The model's own markers are taken out (they
only say which passage to try first), ``app.support`` looks for the support, and a sentence that has some is let out
with the markers of the passages in which we found it; any other is left out and counted. So nothing that was shown
is ever taken back for want of support, and no citation comes from a model.

Decided, where the text could be read in two ways:

* A sentence that says nothing ("Here is what I found:", "Yes.") is left out and not counted: there is nothing in it to
  be wrong, and nothing to be missed.
* A list whose introduction was left out for want of support goes with it: its lines would mean something else alone.
* A last sentence that the limit of tokens has cut is left out and not counted.
* A line of more than UNIT_CHARS without a sentence's end is left out as one sentence, to its end.

``concat(feed(piece) for piece in pieces) + finish()`` is the same for every way of splitting a text into pieces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.facts import facts
from app.shown import ShownText, shown
from app.support import SUPPORT_FLOOR, Read, Span, cited, exact_span, likeliest, says_something, supporting_spans
from indexing.sentences import sentence_spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.events import Citation
    from app.support import Scorer
    from indexing.documents import Passage

UNIT_CHARS = 2000  # of one sentence; the reader's longest quote has 1,200
#: Characters around a full stop that decide whether it ends a sentence.
_AHEAD, _BEHIND = 8, 48
_LONGEST_MARKERS = 128  # characters, generously
_MARKER = re.compile(r"[ \t]*\[(\d{1,9})\]")
#: A full stop with its closing signs, its markers, and white space; or a quotation with its markers, before the next
#: quotation: a row of a table, or a line of a list, that is quoted has no full stop.
_STOP = re.compile(
    r"(?P<stop>[.!?…]++(?:[”\"’')\]*_]|[ \u00a0\u202f]?»)*+)(?P<rest>(?:[ \t]{0,4}\[\d{1,9}\]){0,5}[ \t]+)"
    r"|(?P<cjk>[。！？]++[」』”）]*+)(?:[ \t]{0,4}\[\d{1,9}\]){0,5}[ \t]*"
    r"|(?P<quoted>[”»])(?:[ \t]{0,4}\[\d{1,9}\]){1,5}[ \t]+(?=[“«])"
)
_MARKERS_ONLY = re.compile(r"(?:[ \t]{0,4}\[\d{1,9}\]){0,5}[ \t]{0,4}(?:\[\d{0,9})?\Z")
_LIST_LINE = re.compile(r"\s*(?:[-*•‣▪●–—]|\d{1,3}[.)])\s")
_INTRODUCES = re.compile(r"[:：][ \t*_]*\Z")
_ENDS = re.compile(r"[.!?…。！？:;|][”\"’')\]»*_ \u00a0\u202f」』）]*\Z")


@dataclass
class Verifier:
    """Feeds on pieces of a generator's text and returns what of it may be shown.

    *own* is for the reader: what stands in quotation marks was copied by it and must be found word for word; what
    stands around it is the program's own wording (``app.messages``) and is let out as it is.
    """

    passages: Sequence[Passage]
    language: str = "und"
    scorer: Scorer | None = None
    floor: float = SUPPORT_FLOOR
    own: bool = False
    kept: int = field(default=0, init=False)  # sentences let out with support
    unsupported: int = field(default=0, init=False)  # sentences left out
    text: str = field(default="", init=False)  # all that was let out

    def __post_init__(self) -> None:
        """Make the passages ready; nothing is searched yet."""
        self._read = [Read(passage) for passage in self.passages]
        self._neutral = ShownText(len(self.passages))
        self._held = ""  # of the line that is being written
        self._sure = 0  # no sentence ends in so many characters of it
        self._skipping = False  # the rest of an overlong line
        self._breaks = 0  # between the last sentence that was let out and the next: 1 for a line, 2 for a blank line
        self._blank = True  # nothing stands on this line so far
        self._quoting = False  # inside of a quotation
        self._owed: tuple[int, ...] = ()  # markers that wait for the end of a quotation
        self._list_lost = False  # the introduction of the list that may follow was left out
        self._found: dict[tuple[int, int, int], Citation] = {}

    @property
    def citations(self) -> tuple[Citation, ...]:
        """The citations of what was let out, in order of appearance, each span once."""
        return tuple(self._found.values())

    def feed(self, piece: str) -> str:
        """Return what can be shown now: whole sentences with their markers."""
        return self._let_out(self._neutral.feed(piece), last=False)

    def finish(self, *, cut: bool = False) -> str:
        """Return the rest; there will be no more text. *cut* says that the text stops in the middle."""
        before = len(self.text)
        self._let_out(self._neutral.finish(), last=True, cut=cut)
        self._pay()
        return self.text[before:]

    def _let_out(self, text: str, *, last: bool, cut: bool = False) -> str:
        before = len(self.text)
        lines = text.split("\n")
        for index, line in enumerate(lines):
            self._held += line
            ended = index < len(lines) - 1
            self._take_sentences(complete=ended or last, cut=cut and not ended)
            if ended:
                self._skipping = self._quoting = False
                self._breaks, self._blank = max(self._breaks, 2 if self._blank else 1), True
                self._pay()
        return self.text[before:]

    def _take_sentences(self, *, complete: bool, cut: bool) -> None:
        """Judge the sentences of the held line that are sure to have ended."""
        while self._held and not self._skipping:
            end, self._sure = sentence_end(self._held, self._sure, complete=complete)
            if end > UNIT_CHARS or (end < 0 and len(self._held) > UNIT_CHARS + _LONGEST_MARKERS):
                self._skipping = True
                self.unsupported += 1
                break
            if end < 0:
                return
            unit, self._held, self._sure = self._held[:end], self._held[end:], 0
            unfinished = cut and not self._held and not _ENDS.search(_MARKER.sub("", unit).rstrip())
            if not unfinished:
                self._judge(unit)
        if self._skipping:
            self._held, self._sure = "", 0

    def _judge(self, unit: str) -> None:
        """Let *unit* out when it is supported, and take its support among the citations."""
        hints = [int(number) - 1 for number in _MARKER.findall(unit)]
        claim = shown(_MARKER.sub("", unit), 0).strip()
        self._blank = self._blank and not claim
        bullet = _LIST_LINE.match(claim)
        self._list_lost = self._list_lost and bullet is not None
        spans = () if self._list_lost else self._support(claim[bullet.end() if bullet else 0 :], hints)
        if spans:
            self._keep(claim, spans)
        elif self.own and not self._quoted(claim) and not hints:
            self._say(claim)
        else:
            counts = says_something(claim)
            self.unsupported += counts
            if _INTRODUCES.search(claim) and (counts or facts(claim).denials):
                self._list_lost = True
        self._quoting = self._open_after(claim) and not (self.own and hints)

    def _support(self, claim: str, hints: Sequence[int]) -> tuple[Span, ...]:
        bodies = (self._quoted(claim) or ([claim] if hints else [])) if self.own else []
        for body in bodies:
            for index in likeliest(hints, self._read):
                if found := exact_span(body, self._read[index], copied=True):
                    return (Span(index, *found),)
        return supporting_spans(claim, self._read, self.language, hints=hints, scorer=self.scorer, floor=self.floor)

    def _quoted(self, claim: str) -> list[str]:
        """Return what of *claim* may be a quotation, likeliest first; [] when nothing of it is quoted."""
        opened = re.search("[“«]", claim)
        closed = max(claim.rfind("”"), claim.rfind("»"))
        stop = closed if closed >= 0 else len(claim)
        bodies = [claim[:stop]] if self._quoting else []
        if opened and opened.end() < stop:
            bodies.append(claim[opened.end() : stop])
        return bodies

    def _open_after(self, claim: str) -> bool:
        last = max(claim.rfind("“"), claim.rfind("«"))
        return last > max(claim.rfind("”"), claim.rfind("»")) if set("“«”»") & set(claim) else self._quoting

    def _keep(self, claim: str, spans: tuple[Span, ...]) -> None:
        numbers = tuple(sorted({span.passage + 1 for span in spans}))
        if self._owed != numbers:
            self._pay()
        self._say(claim)
        self.kept += 1
        self._owed = numbers
        for span in spans:
            found = cited(span, self.passages[span.passage])
            self._found.setdefault((span.passage, span.start, span.end), found)
        if not self._open_after(claim):  # a quotation of several sentences has its marker at its end
            self._pay()

    def _say(self, claim: str) -> None:
        if claim:
            self.text += ("\n" * self._breaks or " ") + claim if self.text else claim
            self._breaks = 0

    def _pay(self) -> None:
        """Write the markers that are owed."""
        self.text += " " + "".join(f"[{number}]" for number in self._owed) if self._owed else ""
        self._owed = ()


def verified(verifier: Verifier, text: str) -> str:
    """Return what *verifier* lets out of the whole *text*."""
    return verifier.feed(text) + verifier.finish()


def sentence_end(line: str, begin: int, *, complete: bool) -> tuple[int, int]:
    """Return where the first sentence of *line* ends, its markers and blanks included, and up to where that is sure.

    The end is -1 as long as it depends on text that is still to come; *complete* says that none is. What is decided
    looks at a few characters around a full stop, so that it does not depend on how much more there is. No sentence ends
    before *begin*: what the call before returned, so that a long line is not searched again and again.
    """
    for match in _STOP.finditer(line, begin):
        end = match.end()
        following = line[end:]
        if not complete and (len(following) < _AHEAD or _MARKERS_ONLY.match(following)):
            return -1, match.start()
        if not following:
            break
        before = line[max(0, match.end("stop") - _BEHIND) : match.end("stop")]
        around = f"{before} {following[:_AHEAD]}"
        if (
            match["cjk"]
            or match["quoted"]
            or (match["rest"] or "").strip()
            or any(start == len(before) + 1 for start, _ in sentence_spans(around))
        ):
            return end, end
        begin = end
    return (len(line) if complete else -1), begin
