"""What a file says about itself."""

from __future__ import annotations

import re

_GENERIC = re.compile(
    r"(?:microsoft (?:word|excel|powerpoint|office)|powerpoint presentation|présentation powerpoint|presentation title"
    r"|paper title"
    r"|slide ?\d+|diapositive ?\d+|document ?\d*|doc\d+|untitled|sans titre|word document|title|titre|book ?\d+"
    r"|classeur ?\d+|feuil ?\d+|sheet ?\d+|folie ?\d+|ohne titel)\b.*|.*\.[a-z]{2,4}x?",
    re.IGNORECASE,
)


def sensible_title(title: str | None) -> str | None:
    """Return a title from a file's properties, or None when it is a program's default or a file name."""
    title = " ".join((title or "").split())
    return None if not re.search(r"[^\W\d_]{3}", title) or _GENERIC.fullmatch(title) else title[:200]
