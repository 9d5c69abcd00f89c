"""Questions without an answer, made by rule from answerable ones: they look as if the passage answered them.

The kinds that SQuAD 2.0's authors wrote by hand (Rajpurkar, Jia, Liang, ACL 2018, table 2) as far as a rule can make
them: another name or number in the question, a word turned into its opposite, a negation; and the sentence with the
answer cut out of the passage, which is what retrieval brings when the answer stands elsewhere. That questions made so
teach a reader to refuse: Zhu et al., "Learning to ask unanswerable questions", ACL 2019.
"""

from __future__ import annotations

import random
import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.training.data import Span

_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?]+(?=\s|$)|\n|$|[.!?])\s*")
_NUMBER = re.compile(r"(?<![\w.,])\d[\d.,]*\d(?!\w)|(?<![\w.,])\d(?!\w)")
_NAME = re.compile(r"(?<=[a-zà-ÿ,;(] )(?:[A-ZÉÈÀÂÎ][\w’'-]+)(?: (?:(?:of|the|de|du|des|la) )?[A-ZÉÈÀÂÎ][\w’'-]+)*")
_OPPOSITES = {
    "en": (
        "first/last before/after most/least largest/smallest highest/lowest more/less increase/decrease won/lost "
        "began/ended start/stop started/stopped early/late earlier/later north/south east/west above/below "
        "northern/southern eastern/western best/worst major/minor support/oppose supported/opposed allow/forbid "
        "allowed/forbidden accepted/rejected included/excluded successful/unsuccessful male/female public/private "
        "larger/smaller higher/lower older/younger oldest/youngest longest/shortest common/rare legal/illegal "
        "possible/impossible positive/negative internal/external buy/sell bought/sold increased/decreased "
        "joined/left entered/left gained/lost created/destroyed built/demolished born/buried "
        "previous/next old/new rich/poor strong/weak always/never with/without inside/outside maximum/minimum"
    ),
    "fr": (
        "premier/dernier première/dernière avant/après plus/moins début/fin commence/finit nord/sud "
        "maximum/minimum gagné/perdu ouvert/fermé avec/sans acheter/vendre obligatoire/facultatif public/privé "
        "supérieur/inférieur supérieure/inférieure majeur/mineur ancien/nouveau ancienne/nouvelle accepter/refuser"
    ),
}
_VERBS = re.compile(r"\b(is|are|was|were|did|does|do|can|could|has|have|had|will|would)\b", re.IGNORECASE)
_ASKING = {"en": ("When", "Where", "Why", "Who", "How many"), "fr": ("Quand", "Où", "Pourquoi", "Qui", "Combien")}


def unanswerable(examples: Sequence[Span], seed: int, most: int) -> list[Span]:
    """Return up to *most* questions without an answer, each made from another of the *examples* that have one."""
    generator = random.Random(seed)
    found: list[Span] = []
    for example in generator.sample(list(examples), len(examples)):
        if len(found) == most:
            break
        if example.spans:
            made = _made(example, generator)
            found += [made] if made else []
    return found


def _made(example: Span, generator: random.Random) -> Span | None:
    """Return the first kind that can be made of *example*, in a random order that prefers other names."""
    ways: list[tuple[float, Callable[[Span, random.Random], Span | None]]] = [
        (0.42, other_name), (0.26, opposite), (0.18, without_sentence), (0.08, negated), (0.06, other_kind),
    ]  # fmt: skip
    # Exponential races draw without replacement in proportion to the weights (Efraimidis, Spirakis, 2006).
    ways.sort(key=lambda way: generator.expovariate(1) / way[0])
    for _, way in ways:
        made = way(example, generator)
        if made is not None:
            return made
    return None


def without_sentence(example: Span, _generator: random.Random) -> Span | None:
    """Return the passage without any sentence that holds the answer; None when little would be left."""
    answers = [example.context[a:b].casefold() for a, b in example.spans] if example.exact else []
    kept = []
    for sentence in _SENTENCE.finditer(example.context):
        touched = any(a < sentence.end() and b > sentence.start() for a, b in example.spans)
        if not touched and not any(answer in sentence[0].casefold() for answer in answers):
            kept.append(sentence[0])
    text = "".join(kept).strip()
    return replace(example, context=text, spans=()) if len(text) > 150 else None


def other_name(example: Span, generator: random.Random) -> Span | None:
    """Return the question with one of its names or numbers replaced by another of the passage.

    The new one must not stand in the sentence of the answer: there the question could still be meant.
    """
    near = _around(example)
    for pattern in generator.sample((_NAME, _NUMBER), 2):
        asked = [m for m in pattern.finditer(example.question) if m[0].casefold() in example.context.casefold()]
        inside = {m[0] for m in pattern.finditer(example.context)}
        others = [
            text for text in sorted(inside)
            if text not in near and text.casefold() not in example.question.casefold() and len(text) > 1
        ]  # fmt: skip
        if asked and others:
            return _asked(example, generator.choice(asked), generator.choice(others))
    return None


def opposite(example: Span, generator: random.Random) -> Span | None:
    """Return the question with one word turned into its opposite."""
    pairs = [pair.split("/") for pair in _OPPOSITES[example.language].split()]
    turned = dict(pairs) | {b: a for a, b in reversed(pairs)}
    hits = [m for m in re.finditer(r"[\w’']+", example.question) if m[0].casefold() in turned]
    if not hits:
        return None
    hit = generator.choice(hits)
    return _asked(example, hit, turned[hit[0].casefold()])


def negated(example: Span, generator: random.Random) -> Span | None:
    """Return the question with "not" after its first auxiliary verb; English only."""
    verb = _VERBS.search(example.question) if example.language == "en" else None
    if verb is None or re.search(r"\bnot\b|n't\b", example.question):
        return None
    whole = generator.random() < 0.7 and verb[0].casefold() not in ("can", "will")
    return _asked(example, verb, f"{verb[0]}n't" if whole else f"{verb[0]} not")


def other_kind(example: Span, generator: random.Random) -> Span | None:
    """Return the question asking for something else: when instead of who."""
    words = _ASKING[example.language]
    first = next((w for w in words if example.question.startswith(f"{w} ")), None)
    if first is None:
        return None
    other = generator.choice([w for w in words[:3] if w != first])
    return replace(example, question=other + example.question.removeprefix(first), spans=())


def _asked(example: Span, hit: re.Match[str], text: str) -> Span:
    question = example.question[: hit.start()] + text + example.question[hit.end() :]
    return replace(example, question=question, spans=())


def _around(example: Span) -> str:
    """Return the sentences that hold the answer."""
    return " ".join(
        sentence[0]
        for sentence in _SENTENCE.finditer(example.context)
        if any(a < sentence.end() and b > sentence.start() for a, b in example.spans)
    )
