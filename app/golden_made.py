"""Questions made by rule from documents, for corpora that have no golden set: English and French, pure and seeded.

An answerable one takes a sentence with a number, date, amount or name and asks for it, in place ("Badges are issued by
whom?", "Chaque salarié a droit à combien de jours de congés ?") or as the few words that people type. An unanswerable
one takes such a question and swaps a name, or a rare word, for one of another document, where no text holds both the
new word and half of what else is asked. Some words are said in another way, as by people who have not read the
document. Even so people ask otherwise: figures on made questions compare two states of one corpus, and promise nothing
about real ones.
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from app.golden import GoldenQuestion
from app.quotable import quotable_spans
from app.terms import content_terms, fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

UNANSWERABLE_SHARE = 1 / 3
_MOST_WORDS = 40  # of a sentence
_FEWEST_TERMS = 3  # content terms beside what is asked for: less could be about anything
_TYPED_SHARE = 0.4  # of the questions are a few words instead of a sentence
_TYPED_WORDS = (3, 6)  # at least and at most
_REWORDED_SHARE = 0.6  # of the words that could be said in another way are
_PER_TEXT = 20  # sentences of one text that are looked at, so that long documents do not fill the set
_SWAPS_TRIED = 30
_RARE_LETTERS = 5  # a word that is swapped has at least so many
_RARE_SHARE = 0.2  # and is in at most this share of the documents

_MONTHS_EN = "January|February|March|April|May|June|July|August|September|October|November|December"
_MONTHS_FR = "janvier|février|mars|avril|mai|juin|juillet|août|septembre|octobre|novembre|décembre"
_COUNT_EN = "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty"
_COUNT_FR = "deux|trois|quatre|cinq|six|sept|huit|neuf|dix|onze|douze|quinze|vingt|trente|quarante|cinquante|soixante"
_FIGURE = r"\d{1,3}(?:[ ,.\u00a0\u202f]\d{3})+(?:[.,]\d{1,2})?|\d+(?:[.,]\d+)?"
_NAME = r"[A-ZÀ-Ý][\w’'&-]+(?: (?:de |du |of )?[A-ZÀ-Ý0-9][\w’'&-]*){0,3}"

#: language → (what is asked for, in the order in which it is looked for: the pattern, and the words that ask).
_ASKED: dict[str, tuple[tuple[re.Pattern[str], str], ...]] = {
    "en": (
        (re.compile(rf"\b\d{{1,2}} (?:{_MONTHS_EN})(?: \d{{4}})?\b|\b(?:{_MONTHS_EN}) \d{{1,2}}(?:, \d{{4}})?\b"),
         "what date"),
        (re.compile(r"\b\d{1,2}[:.]\d{2}(?: ?[ap]\.?m\b\.?)?|\b\d{1,2} ?[ap]\.?m\b\.?"), "what time"),
        (re.compile(rf"(?:{_FIGURE}) ?(?:%|per ?cent\b)"), "what percentage"),
        (re.compile(rf"[£€$] ?(?:{_FIGURE})|(?:{_FIGURE}) ?(?:€|£|(?:euros|pounds|dollars)\b)"), "how much money"),
        (re.compile(r"(?<=\bin )(?:19|20)\d{2}\b|(?<=\bsince )(?:19|20)\d{2}\b"), "what year"),
        (re.compile(rf"(?<![\w.,:-])(?:{_FIGURE}|{_COUNT_EN})(?= [a-z]{{3,}})"), "how many"),
        (re.compile(rf"(?<=[a-z,] ){_NAME}"), "who or what"),
    ),
    "fr": (
        (re.compile(rf"\b(?:le )?(?:\d{{1,2}}|1er) (?:{_MONTHS_FR})(?: \d{{4}})?\b"), "quelle date"),
        (re.compile(r"\b\d{1,2} ?h(?: ?\d{2})?\b|\b\d{1,2}:\d{2}\b"), "quelle heure"),
        (re.compile(rf"(?:{_FIGURE})[ \u00a0\u202f]?(?:%|pour cent\b)"), "quel pourcentage"),
        (re.compile(rf"(?:{_FIGURE})[ \u00a0\u202f]?(?:€|euros?\b)"), "quel montant"),
        (re.compile(r"(?<=\ben )(?:19|20)\d{2}\b|(?<=\bdepuis )(?:19|20)\d{2}\b"), "quelle année"),
        (re.compile(rf"(?<![\w.,:-])(?:{_FIGURE}|{_COUNT_FR})(?= [a-zà-ÿ]{{3,}})"), "combien de"),
        (re.compile(rf"(?<=[a-zà-ÿ,] ){_NAME}"), "qui ou quoi"),
    ),
}  # fmt: skip
#: How else something is said, both ways. Word by word, so the form stays: plural for plural, third person for third.
_SYNONYMS = {
    "en": (
        "employee worker", "employees staff", "must has to", "requires needs", "costs is priced at", "begins starts",
        "ends finishes", "opens unlocks", "closes shuts", "maximum limit", "minimum least", "paid remunerated",
        "annual yearly", "holiday vacation", "request application", "requests applications", "manager boss",
        "supplier vendor", "suppliers vendors", "customer client", "customers clients", "invoice bill",
        "invoices bills", "purchase buy", "approved signed off", "replaced exchanged", "repaired fixed",
        "contract agreement", "training course", "computer laptop", "lasts takes", "allowed permitted",
        "receives gets", "keeps stores", "kept stored", "checks verifies", "checked verified", "meeting session",
    ),
    "fr": (
        "salarié employé", "salariés employés", "doit est tenu de", "coûte vaut", "commence débute",
        "finit se termine", "ouvre démarre", "maximum plafond", "congés vacances", "demande requête",
        "responsable chef", "fournisseur prestataire", "fournisseurs prestataires", "client acheteur",
        "clients acheteurs", "facture note", "achat acquisition", "achats acquisitions", "validé approuvé",
        "remplacé changé", "réparé remis en état", "contrat accord", "formation stage", "ordinateur poste",
        "dure prend", "autorisé permis", "reçoit touche", "conserve garde", "conservés gardés", "vérifie contrôle",
        "réunion séance", "remboursé pris en charge", "entreprise société", "salaire paie", "délai temps",
        "limité plafonné", "obligatoire exigé",
    ),
}  # fmt: skip
_CLAUSE_END = re.compile(r"[,;:()–—]\s|\s[–—]\s")
_COUNTS = ("how many", "combien de")
_YEAR = re.compile(r"(?:19|20)\d{2}")
_CONNECTIVE = re.compile(r"(?i)^(?:and|but|or|so|et|mais|ou|donc|or)\s+")
_COUNTED = re.compile(r" [^\W\d_]+")
_WORD = re.compile(r"[^\W_][\w’'&-]*")
_MARKUP = re.compile(r"[|\[\]{}<>*_#\\]|https?:|; .*:|: .*;")


class Readable(Protocol):
    """A text and where it is from: an ``indexing.documents.Passage``, or a :class:`Text`."""

    @property
    def uri(self) -> str:
        """The document."""

    @property
    def text(self) -> str:
        """What questions are made from."""

    @property
    def language(self) -> str:
        """ISO 639-1; only "en" and "fr" are used."""


@dataclass(frozen=True, slots=True)
class Text:
    """A whole document, or a part of it."""

    uri: str
    text: str
    language: str


@dataclass(frozen=True, slots=True)
class _Cloze:
    """A question, what was taken out of its sentence, and where that stands."""

    uri: str
    language: str
    sentence: str
    question: str
    answers: tuple[str, ...]


def make_questions(
    texts: Sequence[Readable],
    count: int,
    seed: int,
    *,
    unanswerable_share: float = UNANSWERABLE_SHARE,
    absent: Sequence[Readable] = (),
) -> list[GoldenQuestion]:
    """Return at most *count* questions about *texts*, each marked ``made``; the same ones for the same arguments.

    *unanswerable_share* of them (0..1) have no answer in *texts*: asked of *absent*, texts that are not in the index,
    where there are some, else by swapping a word. Documents take turns. Fewer, down to none, where the texts do not
    give as many; texts in other languages give none.
    """
    chance = random.Random(seed)  # noqa: S311 -- nothing secret
    clozes = _in_turns(texts, chance, 2 * count + _SWAPS_TRIED)
    if not absent:
        count = min(count, len(clozes))  # each becomes one question: the share holds also where there are few
    unanswerable = round(count * unanswerable_share)
    refused = [_golden(each, ()) for each in _in_turns(absent, chance, unanswerable)]
    swapped: set[str] = set()
    if len(refused) < unanswerable:
        words = _Words(texts)
        # Names first: they make the better questions. And the last clozes first: the first ones, in which every
        # document has had its turn, are for the answerable.
        for names, cloze in ((names, cloze) for names in (True, False) for cloze in reversed(clozes)):
            if len(refused) == unanswerable:
                break
            if cloze.question in swapped:
                continue
            question = _swap(cloze, words, chance, names=names)
            if question is not None:
                swapped.add(cloze.question)
                refused.append(_golden(cloze, (), question))
    kept = [each for each in clozes if each.question not in swapped][: count - len(refused)]
    answered = [_golden(each, _documents_of(each, texts)) for each in kept]
    unique = {each.question: each for each in (*answered, *refused)}
    made = list(unique.values())
    chance.shuffle(made)
    return made


def _golden(cloze: _Cloze, documents: tuple[str, ...], question: str = "") -> GoldenQuestion:
    text = question or cloze.question
    return GoldenQuestion(
        id="made-" + hashlib.sha256(text.encode()).hexdigest()[:8],
        question=text,
        documents=documents,
        answers=cloze.answers if documents else (),
        answerable=bool(documents),
        language=cloze.language,
        made=True,
    )


def _documents_of(cloze: _Cloze, texts: Iterable[Readable]) -> tuple[str, ...]:
    """Return every document that holds the sentence: any of them is right."""
    return tuple(dict.fromkeys([cloze.uri, *(each.uri for each in texts if cloze.sentence in each.text)]))


def _in_turns(texts: Sequence[Readable], chance: random.Random, most: int) -> list[_Cloze]:
    """Return at most *most* clozes, one of each document before a second one of any."""
    by_document: dict[str, list[Readable]] = {}
    for each in texts:
        by_document.setdefault(each.uri, []).append(each)
    queues = [_of_document(pieces, chance) for _, pieces in sorted(by_document.items())]
    chance.shuffle(queues)
    found: list[_Cloze] = []
    asked: set[str] = set()
    while queues and len(found) < most:
        left = []
        for queue in queues:
            cloze = next((each for each in queue if each.question not in asked), None)
            if cloze is not None:
                asked.add(cloze.question)
                found.append(cloze)
                left.append(queue)
        queues = left
    return found[:most]


def _of_document(pieces: Sequence[Readable], chance: random.Random) -> Iterator[_Cloze]:
    for piece in chance.sample(pieces, len(pieces)):
        if piece.language not in _ASKED:
            continue
        spans = [span for span in quotable_spans(piece.text) if _is_sentence(piece.text[slice(*span)])]
        for start, end in chance.sample(spans, min(_PER_TEXT, len(spans))):
            if cloze := _cloze(piece.uri, piece.text[start:end], piece.language, chance):
                yield cloze


def _is_sentence(text: str) -> bool:
    words = text.split()
    return (
        _FEWEST_TERMS < len(words) <= _MOST_WORDS
        and text[0].isupper()
        and text[-1] in ".!"
        and not _MARKUP.search(text)
    )


def _cloze(uri: str, sentence: str, language: str, chance: random.Random) -> _Cloze | None:
    """Return a question for something that *sentence* says; None when it says nothing that can be asked for."""
    flat = " ".join(sentence.split())
    for pattern, words in _ASKED[language]:
        match = pattern.search(flat)
        if match is None or _half_a_name(flat, match) or (words in _COUNTS and _YEAR.fullmatch(match[0])):
            continue
        start, end = _clause(flat, match.start(), match.end())
        before, after = flat[start : match.start()], flat[match.end() : end].rstrip(" .!")
        if len(set(content_terms(before + after, language))) < _FEWEST_TERMS:
            before, after = flat[: match.start()], flat[match.end() :].rstrip(" .!")
        if len(set(content_terms(before + after, language))) < _FEWEST_TERMS:
            continue
        before = _CONNECTIVE.sub("", before)
        counted = _COUNTED.match(after) if words in _COUNTS else None
        asking, after = _elided(words, after)
        before, after = (_reworded(part, language, chance) for part in (before, after))
        typed = chance.random() < _TYPED_SHARE
        question = _typed(asking, before, after, language, chance) if typed else f"{before}{asking}{after}"
        if question.count("(") != question.count(")"):
            continue
        question = question[0].upper() + question[1:] + (" ?" if language == "fr" else "?")
        answers = (match[0] + counted[0], match[0]) if counted else (match[0],)
        return _Cloze(uri, language, sentence, question, answers)
    return None


def _half_a_name(text: str, match: re.Match[str]) -> bool:
    """Return whether a name is matched whose first word stands before the match."""
    last = text[: match.start()].split()[-1:]
    return match[0][0].isupper() and bool(last) and last[0][0].isupper()


def _clause(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the clause around *start* to *end*."""
    cuts = [match.span() for match in _CLAUSE_END.finditer(text)]
    begin = max((after for before, after in cuts if after <= start), default=0)
    stop = min((before for before, after in cuts if before >= end), default=len(text))
    return begin, stop


def _elided(asking: str, after: str) -> tuple[str, str]:
    """Return the words that ask and what follows, with the French elision: "combien d’heures"."""
    if asking == "combien de" and fold(after.lstrip()[:1]) in {"a", "e", "i", "o", "u", "y", "h"}:
        return "combien d’", after.lstrip()
    return asking, after


def _reworded(text: str, language: str, chance: random.Random) -> str:
    """Return *text* with some of its words said in another way."""

    def other(match: re.Match[str]) -> str:
        said = _OTHERWISE[language].get(match[0])
        return said if said is not None and chance.random() < _REWORDED_SHARE else match[0]

    return _WORD.sub(other, text)


def _both_ways(pairs: Iterable[str]) -> dict[str, str]:
    split = [(first, second) for first, _, second in (pair.partition(" ") for pair in pairs)]
    return dict(split) | {second: first for first, second in split if " " not in second}


_OTHERWISE = {language: _both_ways(pairs) for language, pairs in _SYNONYMS.items()}


def _typed(asking: str, before: str, after: str, language: str, chance: random.Random) -> str:
    """Return the question as a few words, the way that people type into a search field: the counted noun, and some."""
    kept = [word for word in _WORD.findall(f"{after} {before}") if content_terms(word, language)]
    some = sorted(chance.sample(range(1, len(kept)), min(len(kept) - 1, chance.randint(*_TYPED_WORDS) - 1)))
    joint = "" if asking.endswith("’") else " "
    return asking + joint + " ".join(kept[i] for i in [0, *some])


class _Words:
    """Which words, folded, are in which texts, and how they are written."""

    def __init__(self, texts: Sequence[Readable]) -> None:
        self.written: dict[str, str] = {}  # folded → as it was first written inside a sentence
        self.texts_of: dict[str, set[int]] = {}
        self.uri_of = [each.uri for each in texts]
        self.languages: dict[str, set[str]] = {}
        self.small: set[str] = set()  # what is also written in small letters: no name, whatever a heading says
        for number, each in enumerate(texts):
            for match in _WORD.finditer(each.text):
                key = fold(match[0])
                self.texts_of.setdefault(key, set()).add(number)
                if match[0].islower():
                    self.small.add(key)
                # A word that opens a line or sentence has a capital for that: it is no name yet.
                opens = not re.search(r"[^\W_,] $", each.text[max(0, match.start() - 2) : match.start()])
                if not (opens and match[0][0].isupper()):
                    self.written.setdefault(key, match[0])
                    self.languages.setdefault(key, set()).add(each.language)
        self.documents = max(1, len(set(self.uri_of)))

    def uris(self, word: str) -> set[str]:
        """Return the documents that hold *word*."""
        return {self.uri_of[number] for number in self.texts_of.get(fold(word), ())}

    def rare(self, word: str) -> bool:
        """Whether few documents hold *word*."""
        return len(self.uris(word)) <= max(1, _RARE_SHARE * self.documents)

    def together(self, word: str, others: Sequence[str]) -> bool:
        """Whether some text holds *word* and at least half of *others*."""
        return any(
            2 * sum(number in self.texts_of.get(fold(other), ()) for other in others) >= len(others)
            for number in self.texts_of.get(fold(word), ())
        )


def _swap(cloze: _Cloze, words: _Words, chance: random.Random, *, names: bool) -> str | None:
    """Return the question with a name (or a rare word) of another document in place of one of its own, or None."""
    asked = [word for word in _WORD.findall(cloze.question)[1:] if content_terms(word, cloze.language)]
    if names:
        taken = [word for word in asked if word[0].isupper()]
    else:
        taken = [word for word in asked if word.islower() and len(word) >= _RARE_LETTERS and words.rare(word)]
    if not taken:
        return None
    old = chance.choice(taken)
    others = [word for word in asked if word != old]
    pool = sorted(
        key
        for key, written in words.written.items()
        if (written.isupper(), written.istitle(), written.islower()) == (old.isupper(), old.istitle(), old.islower())
        and written.isalpha()
        and not (names and key in words.small)
        and len(written) >= (3 if names else _RARE_LETTERS)
        and cloze.language in words.languages.get(key, ())
    )
    for key in chance.sample(pool, min(_SWAPS_TRIED, len(pool))):
        new = words.written[key]
        fits = content_terms(new, cloze.language) and words.rare(new) and cloze.uri not in words.uris(new)
        if fits and not words.together(new, others):
            return re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", new, cloze.question)
    return None
