"""PowerPoint files, through ``unstructured``."""

from __future__ import annotations

import io
import re
import zipfile
from typing import TYPE_CHECKING, Any

from indexing.documents import Parsed
from indexing.parsing import archive
from indexing.parsing.blocks import Page
from indexing.parsing.properties import sensible_title
from indexing.parsing.upstream import add_elements, reader

if TYPE_CHECKING:
    from indexing.parsing.job import Job


_MAIN_TYPE = re.compile(
    rb"application/vnd\.(?:openxmlformats-officedocument\.presentationml\.(?:slideshow|template)"
    rb"|ms-powerpoint\.(?:presentation|slideshow|template)\.macroEnabled)\.main\+xml"
)


def read_pptx(job: Job) -> Parsed:
    """Return the text of a presentation, slide by slide, with its notes; a slide's title is its heading."""
    from pptx import Presentation

    archive.check(job.path, job.limits)
    data = _as_presentation(job.path.read_bytes())
    presentation = Presentation(io.BytesIO(data))
    titles = [_slide_title(slide) for slide in presentation.slides]
    partition = reader("pptx", "partition_pptx")
    elements = partition(
        file=io.BytesIO(data), languages=[""], detect_language_per_element=False, include_slide_notes=True
    )
    page = Page(job.limits.output_mb << 20)
    number = 0
    for element in elements:
        if element.metadata.page_number not in (None, number):
            number = element.metadata.page_number
            page.leave_headings()
        title = titles[number - 1] if 0 < number <= len(titles) else ""
        add_elements(page, [element], {title: 1} if title else {})
    return Parsed(tuple(page.blocks), sensible_title(presentation.core_properties.title) or page.title)


def _as_presentation(data: bytes) -> bytes:
    """Return a slide show, template or macro file as the plain presentation that the libraries insist on."""
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        types = package.read("[Content_Types].xml")
        plain = _MAIN_TYPE.sub(
            b"application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml", types
        )
        if plain == types:
            return data
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as copy:
            for member in package.infolist():
                copy.writestr(member, plain if member.filename == "[Content_Types].xml" else package.read(member))
    return buffer.getvalue()


def _slide_title(slide: Any) -> str:
    shape = slide.shapes.title
    return " ".join(shape.text_frame.text.split()) if shape is not None and shape.has_text_frame else ""
