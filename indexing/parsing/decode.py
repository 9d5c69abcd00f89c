"""Bytes to text: byte order marks, UTF-8, UTF-16 and UTF-32 without a mark, then the likeliest 8-bit encoding."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 65_536
#: Control characters that no text holds: NUL to BS, and SO to US but for ESC (terminal logs have it).
_CONTROLS = bytes(set(range(9)) | set(range(14, 32)) - {27})
#: Letters of French and its neighbours, and typographic marks, in cp1252: most of what is above 127 in such a text.
_LATIN = re.compile("[àâäæçèéêëîïôöœùûüÿñáíóúßåøÀÂÇÈÉÊËÎÏÔŒÙÛ«»’‘“”–—…€°§·\u00a0]")


def looks_like_text(head: bytes) -> bool:
    """Return whether *head*, the start of a file, is text in some encoding and not binary data."""
    if wide_encoding(head) is not None:
        return True
    if not head:
        return False
    controls = sum(head.count(bytes((control,))) for control in _CONTROLS)
    if controls > len(head) // 500:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        above = sum(byte > 127 for byte in head)
        printable = sum(64 <= byte < 128 or byte in b" \t\r\n" for byte in head)
        return above < len(head) * 0.9 and (printable > len(head) * 0.3 or controls == 0)
    return True


def wide_encoding(head: bytes) -> str | None:  # noqa: PLR0911 -- one line for each encoding
    """Return the encoding that a byte order mark or a pattern of zero bytes tells, or None."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    sample = head[: len(head) // 4 * 4][:4096]
    if len(sample) < 8 or 0 not in sample:
        return None
    zeros = [sample[offset::4].count(0) / (len(sample) // 4) for offset in range(4)]
    low, high = 0.05, 0.6
    if zeros[1] > high and zeros[2] > high and zeros[3] > high and zeros[0] < low:
        return "utf-32-le"
    if zeros[0] > high and zeros[1] > high and zeros[2] > high and zeros[3] < low:
        return "utf-32-be"
    if min(zeros[1], zeros[3]) > high and max(zeros[0], zeros[2]) < low:
        return "utf-16-le"
    if min(zeros[0], zeros[2]) > high and max(zeros[1], zeros[3]) < low:
        return "utf-16-be"
    return None


def decode(data: bytes, *, partial: bool = False) -> str:
    """Return *data* as text, without a byte order mark; it never fails: what cannot be decoded becomes U+FFFD.

    *partial*: the data may end in the middle of a character.
    """
    encoding = wide_encoding(data[:_SAMPLE])
    if encoding is not None:
        return data.decode(encoding, "replace").removeprefix("\ufeff")
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data, final=not partial)
    except UnicodeDecodeError as exc:
        if exc.start > _SAMPLE and len(data) > 2 * _SAMPLE:  # a long text with a slip far inside stays UTF-8
            return data.decode("utf-8", "replace")
    return data.decode(_eight_bit(data[: 2 * _SAMPLE]), "replace")


def _eight_bit(sample: bytes) -> str:
    """Return the likeliest encoding of *sample*, which is not UTF-8.

    Windows-1252 wins where most of its letters are those of Western Europe, as the detector mistakes short French
    texts for Eastern European ones; otherwise charset-normalizer decides.
    """
    western = sample.decode("cp1252", "replace")
    high = [character for character in western if ord(character) > 127]
    if high and len(_LATIN.findall(western)) >= 0.9 * len(high) and len(high) < 0.3 * len(western):
        return "cp1252"
    from charset_normalizer import from_bytes

    best = from_bytes(sample[:_SAMPLE]).best()
    return best.encoding if best is not None else "cp1252"


def read_text(path: Path) -> str:
    """Return the text of the file at *path*, line ends as line feeds."""
    return decode(path.read_bytes()).replace("\r\n", "\n").replace("\r", "\n")
