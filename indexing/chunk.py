"""From blocks to chunks: structure first, then as full as the embedding model allows. Pure functions.

1. *Sections*. A heading opens a section, and so does a new page, so that a chunk never spans two headings or
   cites the wrong page. Neighbours too small to stand alone are put together if they hang under the same
   heading on the same page.
2. *Units*. A block is a unit. One that is too long is cut into lines (lists, tables, code) or sentences (text),
   what is still too long into words, and that into pieces.
3. *Packing*. The units of a section are packed into chunks between half full and full. Where to cut is chosen
   by content, not by position: at the strongest boundary (heading, block, sentence, word), and among equals where
   the next characters have the smallest checksum. So the cuts after an edit fall in their old places again within
   a chunk or two, and only chunks that changed are embedded again. (Content-defined chunking by local
   extremes: Bjørner, Blass, Gurevich, "Content-dependent chunking for differential compression, the local
   maximum approach", J. Comput. Syst. Sci. 76, 2010.)

Each chunk knows its exact characters: ``chunk.text == document_text(blocks)[chunk.start:chunk.end]``.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

from indexing.documents import Chunk
from indexing.language import detect_language
from indexing.sentences import sentence_spans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from indexing.documents import Block

    TokenSpans: TypeAlias = Callable[[str], list[tuple[int, int]]]

#: Changes whenever the same blocks could give other chunks: then documents are read again.
CHUNKER_VERSION = "1"

_WORD_CUT, _SENTENCE_CUT, _BLOCK_CUT, _HEADING_CUT = range(4)  # how good a place to cut lies before a unit
_JOIN = "\n\n"
_SHARE = 4  # the context takes at most a quarter of the tokens; a section below a quarter cannot stand alone
_CHARACTERS_PER_TOKEN = 16  # bounds what tokenizers count as one unknown token: a line of base64, say
_CHECKSUM_CHARACTERS = 48
_LANGUAGE_CHARACTERS = 8_000  # more of a document than this tells nothing new about its language
_WORD = re.compile(r"\S+")
_LINE = re.compile(r"\S[^\n]*(?<=\S)")


@dataclass(frozen=True, slots=True)
class _Unit:
    """Characters of the document that are not cut any more."""

    start: int
    end: int
    tokens: int
    cut: int  # how good a place to cut lies before it


@dataclass(frozen=True, slots=True)
class _Section:
    """Blocks that belong together: the numbers of the first and of the one after the last."""

    first: int
    stop: int
    tokens: int
    parent: tuple[str, ...]  # the headings that it hangs under: context of a chunk that shows the heading itself
    path: tuple[str, ...]  # with its own heading: context of the chunks after that


@dataclass(frozen=True, slots=True)
class _Context:
    """What the model sees above a chunk's text, and what that costs, the blank line after it included."""

    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class _Document:
    """One call's document, measured once."""

    blocks: Sequence[Block]
    title: str | None
    text: str
    starts: Sequence[int]  # of each block in text
    tokens: Sequence[Sequence[tuple[int, int]]]  # of each block, relative to it
    token_spans: TokenSpans
    max_tokens: int
    join_tokens: int  # what the white space between two units costs: 0 for WordPiece, 1 for most others


def document_text(blocks: Sequence[Block]) -> str:
    """Return the text of the whole document: what is stored and shown, and what citations point into."""
    return _JOIN.join(block.text for block in blocks)


def document_language(blocks: Sequence[Block]) -> str:
    """Return the language of the document, "und" when there is nothing to go by."""
    return detect_language(document_text(blocks)[:_LANGUAGE_CHARACTERS])


def chunk_blocks(
    blocks: Sequence[Block], *, title: str | None, token_spans: TokenSpans, max_tokens: int
) -> list[Chunk]:
    """Return the chunks of a document, in order; [] for no blocks.

    *title* comes from the content, never from the file name: a rename would change every embedding.
    ``token_count`` counts ``embed_text`` and is at most *max_tokens*. Each block is tokenized once.
    """
    text = document_text(blocks)
    language = document_language(blocks)
    document = _Document(
        blocks=blocks,
        title=title,
        text=text,
        starts=list(accumulate((len(block.text) + len(_JOIN) for block in blocks), initial=0)),
        tokens=[token_spans(block.text) for block in blocks],
        token_spans=token_spans,
        max_tokens=max_tokens,
        join_tokens=max(0, len(token_spans(f"a{_JOIN}a")) - 2 * len(token_spans("a"))),
    )
    chunks: list[Chunk] = []
    for section in _merge_small(list(_sections(document)), document):
        for start, end, tokens, context in _section_chunks(section, document):
            embed_text = f"{context}{_JOIN}{text[start:end]}" if context else text[start:end]
            chunks.append(
                Chunk(
                    ordinal=len(chunks),
                    text=text[start:end],
                    start=start,
                    end=end,
                    page=blocks[section.first].page,
                    heading_path=section.path,
                    language=detect_language(text[start:end], language),
                    token_count=tokens,
                    embed_text=embed_text,
                    text_hash=hashlib.sha256(embed_text.encode()).hexdigest(),
                )
            )
    return chunks


def _sections(document: _Document) -> Iterator[_Section]:
    """Yield runs of blocks under one heading and on one page; headings in a row stay together."""
    blocks = document.blocks
    first = 0
    for number in range(1, len(blocks) + 1):
        if number < len(blocks) and not _opens(blocks[number - 1], blocks[number]):
            continue
        yield _section(document, first, number)
        first = number


def _opens(before: Block, block: Block) -> bool:
    """Say whether a section begins between these two blocks."""
    if before.page != block.page:
        return True
    if before.kind == "title":
        return False
    return block.kind == "title" or block.heading_path != before.heading_path


def _section(document: _Document, first: int, stop: int) -> _Section:
    """Return the section of the blocks first … stop - 1; nothing for no blocks."""
    head, last = document.blocks[first], document.blocks[stop - 1]
    path = (*last.heading_path, last.text) if last.kind == "title" else last.heading_path
    parent = head.heading_path if head.kind == "title" else path[:-1]
    return _Section(first, stop, sum(map(len, document.tokens[first:stop])), parent, path)


def _merge_small(sections: Sequence[_Section], document: _Document) -> Iterator[_Section]:
    """Yield the sections, runs of small ones under the same heading and on the same page made one."""
    small = document.max_tokens // _SHARE
    run: list[_Section] = []
    for section in sections:
        if run and not (
            section.tokens < small
            and run[-1].tokens < small
            and section.parent == run[0].parent
            and document.blocks[section.first].page == document.blocks[run[0].first].page
        ):
            yield _merged(run)
            run = []
        run.append(section)
    if run:
        yield _merged(run)


def _merged(run: Sequence[_Section]) -> _Section:
    if len(run) == 1:
        return run[0]
    parent = run[0].parent
    return _Section(run[0].first, run[-1].stop, sum(section.tokens for section in run), parent, parent)


def _section_chunks(section: _Section, document: _Document) -> Iterator[tuple[int, int, int, str]]:
    """Yield (start, end, tokens, context) of each chunk of the section."""
    head = document.blocks[section.first]
    shows_heading = head.kind == "title"
    rest = _context(document, document.title, section.path)
    lead = _context(document, None if head.text == document.title else document.title, section.parent)
    if not shows_heading:
        lead = rest
    room = document.max_tokens - max(rest.tokens, lead.tokens)
    units = [unit for number in range(section.first, section.stop) for unit in _units(document, number, room)]
    for first, stop in _pack(units, document, room):
        context = lead if first == 0 else rest
        tokens = sum(unit.tokens for unit in units[first:stop]) + (stop - first - 1) * document.join_tokens
        yield units[first].start, units[stop - 1].end, tokens + context.tokens, context.text


def _context(document: _Document, title: str | None, path: Sequence[str]) -> _Context:
    """Return title and headings in at most a quarter of the tokens: outer headings go first, long ones are cut."""
    most = document.max_tokens // _SHARE - document.join_tokens
    parts = [part for part in (title, *path) if part and part.strip()]
    parts = [part for number, part in enumerate(parts) if part not in parts[:number]]
    parts = [_cut_to(" ".join(part.split()), most // 2, document.token_spans) for part in parts]
    while parts:
        text = " > ".join(parts)
        tokens = len(document.token_spans(text))
        if tokens <= most:
            return _Context(text, tokens + document.join_tokens)
        del parts[1 if len(parts) > 2 else 0]
    return _Context("", 0)


def _cut_to(text: str, tokens: int, token_spans: TokenSpans) -> str:
    """Return the beginning of *text* that has at most so many tokens."""
    text = text[: tokens * _CHARACTERS_PER_TOKEN]
    spans = token_spans(text)
    return text if len(spans) <= tokens else text[: spans[tokens - 1][1]]


def _units(document: _Document, number: int, room: int) -> Iterator[_Unit]:
    """Yield the units of one block."""
    block, start, spans = document.blocks[number], document.starts[number], document.tokens[number]
    cut = _HEADING_CUT if block.kind == "title" and not _after_title(document, number) else _BLOCK_CUT
    text = block.text
    if len(spans) <= room and len(text) <= room * _CHARACTERS_PER_TOKEN:
        lead = len(text) - len(text.lstrip())
        yield _Unit(start + lead, start + len(text.rstrip()), max(1, len(spans)), cut)
        return
    token_starts = [span[0] for span in spans]
    pieces = sentence_spans(text) if block.kind in {"text", "title"} else _lines(text)
    for first, end in pieces:
        tokens = _tokens_between(token_starts, first, end)
        if tokens <= room and end - first <= room * _CHARACTERS_PER_TOKEN:
            yield _Unit(start + first, start + end, tokens, cut)
        else:
            yield from _word_units(document, number, (first, end), token_starts, room, cut)
        cut = _SENTENCE_CUT


def _after_title(document: _Document, number: int) -> bool:
    return number > 0 and document.blocks[number - 1].kind == "title"


def _lines(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _LINE.finditer(text))


def _tokens_between(token_starts: Sequence[int], first: int, end: int) -> int:
    return max(1, bisect_left(token_starts, end) - bisect_left(token_starts, first))


def _word_units(
    document: _Document, number: int, piece: tuple[int, int], token_starts: Sequence[int], room: int, cut: int
) -> Iterator[_Unit]:
    """Yield the words of a sentence or line that does not fit; a word that does not fit either is cut anywhere."""
    start, text = document.starts[number], document.blocks[number].text
    for match in _WORD.finditer(text, *piece):
        first, end = match.span()
        tokens = _tokens_between(token_starts, first, end)
        if tokens <= room and end - first <= room * _CHARACTERS_PER_TOKEN:
            yield _Unit(start + first, start + end, tokens, cut)
            cut = _WORD_CUT
            continue
        while first < end:
            # Pieces of a word are other tokens than the word's own: count them as they are.
            length = min(room * _CHARACTERS_PER_TOKEN, end - first)
            while (tokens := len(document.token_spans(text[first : first + length]))) > room and length > 1:
                length = max(1, min(length // 2, length * room // tokens))
            yield _Unit(start + first, start + first + length, max(1, tokens), cut)
            first += length
            cut = _WORD_CUT


def _pack(units: Sequence[_Unit], document: _Document, room: int) -> Iterator[tuple[int, int]]:
    """Yield (first, stop) numbers of the units of each chunk: all units, in order, each once."""
    totals = list(accumulate((unit.tokens + document.join_tokens for unit in units), initial=0))
    first = 0
    while first < len(units):
        stop = _cut_before(units, totals, document, room, first)
        yield first, stop
        first = stop


def _cut_before(units: Sequence[_Unit], totals: Sequence[int], document: _Document, room: int, first: int) -> int:
    """Return the number of the unit that begins the next chunk, when one begins at *first*.

    Looked at are the places where the chunk is half full or more and enough is left for another one; if there is
    none (a large block follows a small one), the chunk takes what fits.
    """
    full = bisect_right(totals, totals[first] + room + document.join_tokens, lo=first + 1) - 1
    while full > first + 1 and units[full - 1].end - units[first].start > room * _CHARACTERS_PER_TOKEN:
        full -= 1
    full = max(full, first + 1)
    if full == len(units):
        return full
    half = bisect_left(totals, totals[first] + room // 2, lo=first + 1)
    enough_left = bisect_right(totals, totals[-1] - room // _SHARE) - 1
    candidates = range(half, min(full, enough_left) + 1) or range(half, full + 1)
    return max(candidates, default=full, key=lambda number: (units[number].cut, -_checksum(units[number], document)))


def _checksum(unit: _Unit, document: _Document) -> int:
    return zlib.crc32(document.text[unit.start : unit.start + _CHECKSUM_CHARACTERS].encode())
