"""PowerPoint files, through ``unstructured``."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from indexing.documents import Parsed
from indexing.parsing import archive
from indexing.parsing.blocks import Page
from indexing.parsing.properties import sensible_title
from indexing.parsing.upstream import add_elements, reader

if TYPE_CHECKING:
    from indexing.parsing.job import Job


def read_pptx(job: Job) -> Parsed:
    """Return the text of a presentation, slide by slide, with its notes; a slide's title is its heading."""
    from pptx import Presentation

    archive.check(job.path, job.limits)
    data = job.path.read_bytes()
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


def _slide_title(slide: Any) -> str:
    shape = slide.shapes.title
    return " ".join(shape.text_frame.text.split()) if shape is not None and shape.has_text_frame else ""
