"""Takes the place of ``unstructured.nlp.tokenize``, which fetches a spaCy model from a hub when it is first used.

``unstructured`` asks it only to guess whether a paragraph is prose or a title. We take headings from styles and
tags, not from guesses, so that quick rules are enough. A test fails when upstream's module gets other names.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+(?=[\"'“‘«(\[]?[A-ZÀ-ÖØ-Þ\d])")
_VERB = re.compile(
    r"(?:is|are|was|were|be|been|has|have|had|do|does|did|can|could|will|would|shall|should|may|might|must|est|sont|"
    r"était|sera|ont|avait|peut|peuvent|doit|doivent|fait|\w{2,}(?:ed|ing|ez|ent|ait|er|ir))",
    re.IGNORECASE,
)


def sent_tokenize(text: str) -> list[str]:
    """Return the sentences of *text*."""
    return [sentence for sentence in _SENTENCE_END.split(str(text)) if sentence.strip()]


def word_tokenize(text: str) -> list[str]:
    """Return the words and punctuation marks of *text*."""
    return _WORD.findall(str(text))


def pos_tag(text: str) -> list[tuple[str, str]]:
    """Return each word of *text* with a part of speech: VB for what looks like a verb, NN for all else."""
    return [(word, "VB" if _VERB.fullmatch(word) else "NN") for word in word_tokenize(text)]
