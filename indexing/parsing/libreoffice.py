"""Legacy and rare office formats, converted by LibreOffice where it is installed, then read as their modern form."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from typing import TYPE_CHECKING

from indexing.errors import EncryptedDocument, ParseError, ParseLimit, ParserMissing
from indexing.parsing import archive

if TYPE_CHECKING:
    from indexing.parsing.job import Job

#: format → (extension that LibreOffice should see, format to convert to)
_TARGETS = {
    "doc": ("doc", "docx"),
    "writer": ("doc", "docx"),
    "ppt": ("ppt", "pptx"),
    "odp": ("odp", "pptx"),
    "ods": ("ods", "xlsx"),
    "xls": ("xls", "xlsx"),
    "xlsx": ("xlsx", "xlsx"),
    "docx": ("docx", "docx"),
    "pptx": ("pptx", "pptx"),
    "rtf": ("rtf", "docx"),
    "odt": ("odt", "docx"),
    "xlsb": ("xlsb", "xlsx"),
    "xlsxml": ("xml", "xlsx"),
    "drawing": ("vsd", "pdf"),
    "publisher": ("pub", "pdf"),
}
_REMEDY = (
    "Install LibreOffice (Debian: apt install libreoffice-writer-nogui libreoffice-calc-nogui "
    "libreoffice-impress-nogui), then run sync again."
)


def available() -> bool:
    """Return whether LibreOffice is installed."""
    return _program() is not None


def _program() -> str | None:
    return shutil.which("soffice") or shutil.which("libreoffice")


def convert(job: Job) -> Job:
    """Return the job of reading the converted file. Raises ParserMissing where LibreOffice is not installed."""
    if job.format in ("ods", "odp", "xlsb"):
        archive.check(job.path, job.limits)
    program = _program()
    if program is None:
        raise ParserMissing(
            f"Reading {job.format.upper()} files needs LibreOffice, which is not installed.", remedy=_REMEDY
        )
    suffix, target = _TARGETS[job.format]
    source = job.scratch / f"source.{job.suffix or suffix}"
    shutil.copyfile(job.path, source)
    profile = job.scratch.parent / "libreoffice"  # kept by this child: making one takes seconds
    command = [
        program, "--headless", "--norestore", "--nologo", "--nolockcheck", "--nodefault",
        f"-env:UserInstallation=file://{profile}",
        "--convert-to", target, "--outdir", str(job.scratch / "converted"), str(source),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, timeout=max(1.0, job.seconds_left), check=False)
    except subprocess.TimeoutExpired as exc:
        raise ParseLimit(f"LibreOffice took longer than {job.limits.timeout_s:g} s.") from exc
    converted = job.scratch / "converted" / f"source.{target}"
    if not converted.is_file():
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        if "password" in said.lower():
            raise EncryptedDocument
        raise ParseError(f"LibreOffice could not read it (exit status {done.returncode}).")
    return dataclasses.replace(job, path=converted, format=target)
