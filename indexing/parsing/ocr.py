"""Scans and pictures through tesseract, where it is installed."""

from __future__ import annotations

import functools
import re
import shutil
from typing import TYPE_CHECKING, Any

from indexing.documents import Parsed
from indexing.errors import EmptyDocument, ParseError, ParseLimit, ParserMissing
from indexing.parsing.blocks import Page
from indexing.parsing.text import add_prose

if TYPE_CHECKING:
    from indexing.parsing.job import Job

_MISSING_REMEDY = (
    "Install tesseract with its language data (Debian: apt install tesseract-ocr tesseract-ocr-fra), "
    "then run sync again."
)
_MOST_PIXELS = 100_000_000  # a 100 MB bitmap unpacked; more is a decompression bomb
_SIDE = 4_000
_MOST_FRAMES = 200


class OcrTimeout(Exception):
    """Tesseract took longer on one picture than it may."""


def available() -> bool:
    """Return whether the tesseract program is installed."""
    return shutil.which("tesseract") is not None


@functools.cache
def _languages(wanted: str) -> str:
    """Return those of the *wanted* languages (``eng+fra``) that are installed. Raises ParserMissing when none is."""
    import pytesseract

    installed = set(pytesseract.get_languages(config=""))
    usable = [language for language in wanted.split("+") if language in installed]
    if not usable:
        raise ParserMissing(f"tesseract has no data for {wanted}.", remedy=_MISSING_REMEDY)
    return "+".join(usable)


def read_picture(image: Any, job: Job) -> str:
    """Return the text in a Pillow *image*, "" when there is none.

    Raises ParserMissing without tesseract, OcrTimeout past the time for one page or for the file.
    """
    import pytesseract

    if not available():
        raise ParserMissing("It is a picture, and tesseract is not installed.", remedy=_MISSING_REMEDY)
    seconds = min(job.limits.ocr_timeout_s, job.seconds_left)
    if seconds < 0.5:
        raise OcrTimeout
    try:
        text: str = pytesseract.image_to_string(
            image, lang=_languages(job.limits.ocr_languages), config="--psm 3", timeout=seconds
        )
    except RuntimeError as exc:
        if "timeout" in str(exc).lower():
            raise OcrTimeout from exc
        raise ParseError(f"tesseract failed: {' '.join(str(exc).split())[:200]}.") from exc
    return "\n".join(line for line in text.replace("\f", "\n").split("\n") if not _is_noise(line))


def _is_noise(line: str) -> bool:
    """Return whether a line is what tesseract makes of rules and specks: marks without a letter or digit."""
    return bool(line.strip()) and re.search(r"\w", line) is None


def read_image(job: Job) -> Parsed:
    """Return the text of a picture; of a multi-page TIFF or an animation, of each frame."""
    from PIL import Image, ImageSequence, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = _MOST_PIXELS
    page = Page(job.limits.output_mb << 20)
    unread: list[int] = []
    try:
        with Image.open(job.path) as picture:
            frames = ImageSequence.Iterator(picture) if picture.format == "TIFF" else [picture]
            for number, frame in enumerate(frames, start=1):
                page.number = number
                if number > _MOST_FRAMES:
                    unread.append(number)
                    continue
                try:
                    add_prose(page, read_picture(upright(frame), job))
                except OcrTimeout:
                    unread.append(number)
    except Image.DecompressionBombError as exc:
        raise ParseLimit("The picture has too many pixels.", remedy="Save it at a lower resolution.") from exc
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as exc:
        raise ParseError(f"The picture is damaged ({exc}).") from exc
    if not page.blocks:
        if unread:
            raise ParseLimit(
                "tesseract ran out of time.", remedy="Raise METIER_OCR_TIMEOUT_S or METIER_PARSE_TIMEOUT_S."
            )
        raise EmptyDocument("tesseract found no text in the picture.", remedy="If there is some, scan it at 300 dpi.")
    return Parsed(tuple(page.blocks), notes=unread_note(unread, "tesseract ran out of time"))


def upright(picture: Any) -> Any:
    """Return *picture* turned as its camera meant, without transparency, small ones enlarged, huge ones reduced."""
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("RGBA", "LA", "PA") or (picture.mode == "P" and "transparency" in picture.info):
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(ground, picture)
    picture = picture.convert("L" if picture.mode in ("1", "L", "I", "I;16", "F") else "RGB")
    longest = max(picture.size)
    if longest > _SIDE:
        picture.thumbnail((_SIDE, _SIDE))
    elif longest < 1_200:  # letters of a screenshot are too small for tesseract, which wants about 30 pixels
        factor = 2 if longest > 600 else 3
        picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.LANCZOS)
    return picture


def unread_note(pages: list[int], why: str) -> tuple[str, ...]:
    """Return the note that says which *pages* were not read; empty for none."""
    if not pages:
        return ()
    runs: list[list[int]] = []
    for number in pages:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    listed = ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs[:20])
    more = ", …" if len(runs) > 20 else ""
    return (f"{len(pages)} pages were not read ({listed}{more}): {why}",)
