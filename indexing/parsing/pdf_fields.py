"""What stands on a PDF page beside its text layer: filled-in form fields, and notes that somebody added."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOTES = (1, 3, 8, 9, 10, 11, 12, 13)  # text, free text, highlight, underline, squiggly, strike-out, stamp, caret
_WIDGET = 20
_MOST = 2_000
#: Types of form fields: push buttons, check boxes and radio buttons have no text of their own.
_TEXT_FIELDS = (4, 5, 6)  # combo box, list box, text field


def fields(document: Any, leaf: Any) -> Iterator[str]:
    """Yield ``name: value`` of the filled-in fields and the contents of the notes of one page."""
    import pypdfium2.raw as pdfium

    form = document.formenv.raw if document.formenv is not None else None
    for number in range(min(_MOST, pdfium.FPDFPage_GetAnnotCount(leaf.raw))):
        annotation = pdfium.FPDFPage_GetAnnot(leaf.raw, number)
        if not annotation:
            continue
        try:
            kind = pdfium.FPDFAnnot_GetSubtype(annotation)
            if kind in _NOTES:
                if text := _string(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents"):
                    yield text
            elif kind == _WIDGET and form is not None and (text := _field(form, annotation)):
                yield text
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)


def _field(form: Any, annotation: Any) -> str:
    """Return one form field with its label, "" when nothing was filled in."""
    import pypdfium2.raw as pdfium

    if pdfium.FPDFAnnot_GetFormFieldType(form, annotation) not in _TEXT_FIELDS:
        return ""
    value = _string(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation)
    label = _string(pdfium.FPDFAnnot_GetFormFieldAlternateName, form, annotation)
    label = label or _string(pdfium.FPDFAnnot_GetFormFieldName, form, annotation)
    if not value.strip():
        return ""
    return f"{label}: {value}" if label else value


def _string(function: Any, *arguments: Any) -> str:
    """Return what a pdfium *function* writes as UTF-16: it is asked for the size first."""
    import pypdfium2.raw as pdfium

    size = function(*arguments, None, 0)
    if size <= 2:
        return ""
    buffer = ctypes.create_string_buffer(size)
    function(*arguments, ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), size)
    return buffer.raw[: size - 2].decode("utf-16-le", "replace")
