"""What is trained on, what thresholds are fitted on, and what is reported: split by article, for every set alike.

The hash of an article's name decides: half of the articles of a set may be trained on, the next 15 % serve to fit
thresholds, and the last 35 % are reported. Whoever trains, fits or reports goes through ``part_of``.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRAIN, FIT = 0.50, 0.65  # shares at which the parts end
READ_SETS = ("squad", "piaf", "covidqa", "clapnq", "spf", "tatqa")


@dataclass(frozen=True)
class Span:
    """One reading example. *starts* and *ends* are characters of *context*; none when it holds no answer."""

    set: str
    language: str
    question: str
    context: str
    spans: tuple[tuple[int, int], ...]
    exact: bool = True  # False: the answer is somewhere within the span
    title: str = ""


def part_of(name: str, article: str) -> str:
    """Return "train", "fit" or "report" for an article of the set *name*."""
    digest = hashlib.sha256(f"{name}:{article}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "train" if share < TRAIN else "fit" if share < FIT else "report"


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a .jsonl or .jsonl.zst file."""
    if path.suffix == ".zst":
        import zstandard

        with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
            yield from map(json.loads, io.TextIOWrapper(stream, encoding="utf-8"))
    else:
        with path.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def gathered(folder: Path, name: str) -> list[Span]:
    """Return the span examples of one file of the training folder."""
    found = []
    for row in rows(folder / f"{name}.jsonl.zst"):
        spans = tuple((a["start"], a["start"] + len(a["text"])) for a in row["answers"])
        exact = row.get("granularity") in (None, "span", "phrase")
        title = "" if name == "cuad" else (row["title"] or "").replace("_", " ")
        found.append(Span(name, row["lang"], row["question"], row["context"], spans, exact, title))
    return found


def of_set(folder: Path, name: str, part: str) -> list[Span]:
    """Return the reading examples of one part of an evaluation set: a question with the passage it is about."""
    norm = folder / name / "norm"
    texts = {row["id"]: (row.get("title") or "", row["text"]) for row in rows(norm / "corpus.jsonl")}
    relevant: dict[str, str] = {}
    for line in (norm / "qrels.tsv").read_text(encoding="utf-8").splitlines():
        fields = line.split("\t")
        if fields[-1].strip().isdigit() and int(fields[-1]) > 0:
            relevant.setdefault(fields[0], fields[-2])
    found = []
    for row in rows(norm / "queries.jsonl"):
        about = row.get("about") or relevant.get(row["id"])
        if part_of(name, row["group"]) != part or about not in texts:
            continue
        title, context = texts[about]
        spans = _located(context, row["answers"], row["text"]) if row["answerable"] else ()
        if row["answerable"] and not spans:
            continue
        language = "fr" if name in ("piaf", "spf") else "en"
        if name == "covidqa":
            context, spans = _window(context, spans)
        found.append(Span(name, language, row["text"], context, spans, title=title.replace("_", " ")))
    return found


def _located(context: str, answers: list[str], question: str) -> tuple[tuple[int, int], ...]:
    """Return where the answers stand in *context*, each once: where most of the question's words are near."""
    asked = _words(question)
    found = []
    for answer in answers:
        places = [m.start() for m in re.finditer(rf"(?<!\w){re.escape(answer)}(?!\w)", context)] if answer else []
        if places:
            counts = [len(asked & _words(context[max(0, at - 120) : at + 120])) for at in places]
            at = places[counts.index(max(counts))]
            found.append((at, at + len(answer)))
    return tuple(dict.fromkeys(found))


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w{3,}", text.casefold()))


def _window(
    context: str, spans: tuple[tuple[int, int], ...], reach: int = 500
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the stretch of a long document around its first answer, cut at blanks."""
    start = max(0, spans[0][0] - reach)
    start = context.find(" ", start) + 1 if start else 0
    stop = context.find(" ", min(len(context), spans[0][1] + reach))
    stop = stop if stop > 0 else len(context)
    return context[start:stop], tuple((a - start, b - start) for a, b in spans if start <= a and b <= stop)


def other_paragraph(examples: list[Span], texts: dict[str, list[str]], articles: list[str], seed: int) -> list[Span]:
    """Return each example's question with another paragraph of its article, which does not hold the answer."""
    generator = random.Random(seed)
    found = []
    for example, article in zip(examples, articles, strict=True):
        answers = [example.context[a:b].casefold() for a, b in example.spans]
        others = [t for t in texts[article] if t != example.context and not any(a in t.casefold() for a in answers)]
        if others:
            words = set(re.findall(r"\w{4,}", example.question.casefold()))
            others.sort(key=lambda text: -len(words & set(re.findall(r"\w{4,}", text.casefold()))))
            chosen = others[0] if generator.random() < 0.7 else generator.choice(others)
            found.append(Span(f"{example.set}-none", example.language, example.question, chosen, (), title=article))
    return found


_MONTHS = "janvier|février|mars|avril|mai|juin|juillet|août|septembre|octobre|novembre|décembre"
_UNITS = "%|€|euros?|millions?|milliards?|km|mètres?|ans|mois|jours|heures|habitants|personnes"
_ASKED = (
    (re.compile(r"\ben ((?:1[0-9]|20)\d\d)\b"), "En quelle année"),
    (re.compile(rf"\b(?:le )?(\d{{1,2}}(?:er)? (?:{_MONTHS})(?: \d{{4}})?)\b"), "Quand"),
    (re.compile(rf"\b(\d[\d ,.]*\s?(?:{_UNITS}))(?!\w)"), "Combien"),
    (re.compile(r"(?<=[a-z,] )((?:[A-ZÉÈÀÂÎ][\w’'-]+ ){1,3}[A-ZÉÈÀÂÎ][\w’'-]+)"), "Qui"),
    (re.compile(r"(?<=[a-z] )(?:à|au|en) ([A-ZÉÈÀÂÎ][\w’'-]+)"), "Où"),
)  # fmt: skip


def cloze(texts: list[str], language: str, seed: int, most: int) -> list[Span]:
    """Return questions made by rule from French passages: a sentence without its date, number or name, asked for.

    After Lewis, Denoyer, Riedel, "Unsupervised question answering by cloze translation", ACL 2019, without the
    translation: a few words are left out and the question word goes first or last.
    """
    generator = random.Random(seed)
    found: list[Span] = []
    for text in generator.sample(texts, len(texts)):
        sentences = list(re.finditer(r"[A-ZÉÈÀÂÎ][^.!?\n]{40,220}[.!?]", text))
        generator.shuffle(sentences)
        for sentence in sentences[:2]:
            hits = [(m, ask) for pattern, ask in _ASKED for m in pattern.finditer(sentence[0])]
            if not hits:
                continue
            match, ask = generator.choice(hits)
            rest = (sentence[0][: match.start()] + sentence[0][match.end() :]).rstrip(".!? ")
            words = [w for w in rest.split() if generator.random() > 0.15][:18]
            order = " ".join(words)
            order = order[:1].lower() + order[1:]
            question = f"{ask} {order} ?" if generator.random() < 0.7 else f"{order} {ask.lower()} ?"
            start = sentence.start() + match.start(1)
            found.append(Span("cloze", language, question, text[:2500], ((start, start + len(match[1].rstrip())),)))
            if len(found) == most:
                return found
    return found
