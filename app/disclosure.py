"""What tells people and programs that an answer is a machine's: EU AI Act, article 50(1) and (2).

People read the notice (``app/messages.py``). Programs read the response header ``AI-Disclosure``, a dictionary of
structured fields (RFC 9651) as in the Internet-Draft draft-abaris-aicdh, which is no standard yet. No header is agreed
on for this; when one is, this module is the place to change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.messages import messages

if TYPE_CHECKING:
    from app.parts import Parts
    from app.specialists import Specialist

HEADER = "AI-Disclosure"


def notice(language: str) -> str:
    """Return the sentence that says a machine answered, in the language of the question."""
    return messages(language).notice


def disclosure(generator: str) -> dict[str, str]:
    """Return the header for an answer that *generator* wrote; ``reader`` quotes documents and writes nothing itself."""
    return {HEADER: f'mode=machine-generated, model="{_quotable(generator)}", provider="Metier"'}


def writer(parts: Parts, chosen: Specialist) -> str:
    """Return the generator that is about to answer, for a stream, whose headers go out before its first word.

    The last event names the one whose text stands.
    """
    return chosen.generator or parts.generator.name


def _quotable(text: str) -> str:
    """Return *text* as the inside of a structured-field string: printable ASCII, quotes and backslashes escaped."""
    plain = "".join(sign if " " <= sign <= "~" else "?" for sign in text)
    return plain.replace("\\", "\\\\").replace('"', '\\"')
