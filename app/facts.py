"""What a sentence and its support must have in common to the letter: figures, names, addresses, direction.

Shared words say that two texts are about the same thing; these say whether they state the same about it. Rules for
English and French, no model. Everything here is conservative: what cannot be told counts as a contradiction, because
a sentence that is not shown costs less than one that is wrong.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from app.terms import content_words, fold

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_WORD = 24  # characters: what is longer is a key, a token or base64, and has to be the same
_TOKEN = re.compile(r"[^\W_]+(?:[-_.@][^\W_]+)*")
_NUMBER = re.compile(
    r"(?P<sign>(?<![^\s(])[-\u2212])?(?P<whole>\d{1,3}(?:[.,\u00a0\u202f ]\d{3})+(?!\d)|\d+)(?:[.,](?P<decimals>\d+))?"
)
_TIME = re.compile(r"(?<![\d.,:])(\d{1,2})(?:[ \u00a0\u202f]?h[ \u00a0\u202f]?|:)(\d{2})(?![\d:])")
_UNIT = re.compile(r"[^\w\n;]*(?:(?:of|de|d)\b[^\w\n;]*)?([^\W\d_]+)")
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?:[\w-]+\.)+[^\W\d_]{2,}(?:[:/?#][^\s<>()\[\]\"“”«»]*)?")
_COORDINATE = re.compile(r";|\b(?:and|et)\b")
_CLAUSE = re.compile(r"[,;|\n]|\b(?:and|but|while|whereas|et|mais|tandis|alors)\b")

_ENGLISH_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_FRENCH_ONES = (
    "zero un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept dix-huit "
    "dix-neuf"
)
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
    "vingt": 20, "trente": 30, "quarante": 40, "cinquante": 50, "soixante": 60, "quatre-vingt": 80,
    "quatre-vingts": 80, "septante": 70, "huitante": 80, "nonante": 90,
}  # fmt: skip
_SMALL = {word: value for line in (_ENGLISH_ONES, _FRENCH_ONES) for value, word in enumerate(line.split())}
#: "one" and "un" are pronouns and articles more often than numbers: they count before a unit only.
_ARTICLES = frozenset({"one", "un", "une"})
_UNIT_WORDS = (
    "day days week weeks month months year years hour hours minute minutes time person euro euros percent jour jours "
    "semaine mois an annee heure minute fois personne million"
)
_UNITS = frozenset(_UNIT_WORDS.split())
_SPELLED = re.compile(
    rf"\b(?P<tens>{'|'.join(sorted(_TENS, key=len, reverse=True))})(?:(?:[ -]et)?[ -](?P<one>{'|'.join(sorted(_SMALL, key=len, reverse=True))}))?\b"  # noqa: E501
    rf"|\b(?P<small>{'|'.join(sorted({*_SMALL, 'une'}, key=len, reverse=True))})\b"
    r"|(?P<cent>\b(?:hundred|cents?)\b)|(?P<mille>\b(?:thousand|mille)\b)|(?P<million>\b(?:millions?)\b)"
)
_WORDS_OF_NUMBERS = frozenset({*_SMALL, *_TENS, "hundred", "cent", "cents", "thousand", "mille", "million", "millions"})

_SYMBOLS = (
    ("%", re.compile(r"%|\bper ?cent\b|\bpour ?cent\b")),
    ("‰", re.compile("‰")),
    ("€", re.compile(r"€|\beuros?\b|\beur\b")),
    ("£", re.compile(r"£|\bpounds?\b|\bgbp\b")),
    ("$", re.compile(r"\$|\bdollars?\b|\busd\b")),
    ("°", re.compile(r"°(?!\s?\d)")),
)
_MONEY_WORDS = "percent pourcent euro euros eur pound pounds gbp dollar dollars usd"
_WORDS_OF_SYMBOLS = frozenset(_MONEY_WORDS.split())

_MONTHS = (
    "january janvier|february fevrier|march mars|april avril|may mai|june juin|july juillet|august aout|"
    "september septembre|october octobre|november novembre|december decembre"
)
_DAYS = "monday lundi|tuesday mardi|wednesday mercredi|thursday jeudi|friday vendredi|saturday samedi|sunday dimanche"
_CALENDAR = {
    word: f"{kind}{index}"
    for kind, table in (("month", _MONTHS), ("day", _DAYS))
    for index, names in enumerate(table.split("|"), 1)
    for word in names.split()
}
_VERBS_TOO = frozenset({"may", "march", "mars"})  # months only where they are written like one: "31 May", "in March"

_DENIES = re.compile(
    r"\b(?:not|never|none|neither|nor|without|cannot|nobody|nothing|nowhere|pas|aucune?s?|jamais|rien|ni|sans|non|"
    r"nullement|guere)\b|\bno\b(?!\.? ?\d)|\w+n't\b"
)
_DENIES_WEAKLY = re.compile(r"\bne\b|\bn'(?=\w)")  # half of "ne … pas", and all of "personne ne"
#: Which way a sentence points: a claim that has one of a line has to find one of the same line in its support.
_DIRECTION_WORDS = r"""
before|avant|prior to|no later than|at the latest|au plus tard|until|jusqu'a
after|apres|no earlier than|at the earliest|au plus tot|depuis|since
at least|minimum|no less than|au moins|au minimum
at most|maximum|up to|no more than|au plus|au maximum|jusqu'a|limited to|limite\w*
more than|over|above|exceed\w*|plus de|superieure?s?|au-dela
less than|under|below|fewer than|moins de|inferieure?s?
only|solely|exclusively|seulement|uniquement|exclusivement
"""
#: Pairs of which a claim must not have one where its support has the other alone.
_OPPOSITE_WORDS = r"""
all|every|each|always|tous|toutes|chaque|toujours :: some|sometimes|certaine?s|parfois
first|premiere? :: last|derniere?
"""


_MODALS = (
    (
        "must",
        re.compile(r"\b(?:must|shall|required|mandatory|compulsory|obligatory|doit|doivent|devez|obligatoire\w*)\b"),
    ),
    ("may", re.compile(r"\b(?:may|optional|peut|peuvent|pouvez)\b")),
)


def _words_of(side: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{side.strip()})\b")


_DIRECTIONS = tuple(_words_of(line) for line in _DIRECTION_WORDS.strip().split("\n"))
_OPPOSITES = tuple(tuple(_words_of(side) for side in line.split("::")) for line in _OPPOSITE_WORDS.strip().split("\n"))


@dataclass(frozen=True, slots=True)
class Facts:
    """The figures and names of one text. Sequences are in the text's order."""

    figures: tuple[tuple[str, str], ...]  # (value, word after it)
    names: tuple[str, ...]  # folded words of capitalised names and acronyms
    codes: frozenset[str]  # identifiers, small letters and digits only
    addresses: frozenset[str]  # e-mail addresses, host names with their path
    symbols: frozenset[str]
    dates: frozenset[str]  # months and days of the week
    denials: int  # how often it says no
    modals: tuple[tuple[str, str], ...]  # (must or may, word after it)
    folded: str
    words: tuple[str, ...]

    @property
    def values(self) -> frozenset[str]:
        """The numbers, whatever stands after them."""
        return frozenset(value for value, _ in self.figures)

    @property
    def anchors(self) -> frozenset[str]:
        """What is the same in every language."""
        return self.values | self.codes | self.addresses | self.dates | frozenset(self.names)


@lru_cache(maxsize=8192)
def facts(text: str) -> Facts:
    """Return the facts of *text*; all empty for blank text."""
    plain = unicodedata.normalize("NFKC", text)
    folded = fold(plain).replace("’", "'")
    tokens = list(_TOKEN.finditer(plain))
    words = tuple(word for token in tokens for word in re.findall(r"[^\W_]+", fold(token[0])))
    names, codes = _names_and_codes(plain, tokens)
    return Facts(
        figures=tuple(_figures(folded)),
        names=names,
        codes=codes,
        addresses=frozenset(match[0].rstrip(".,;:!?'/").casefold() for match in _ADDRESS.finditer(plain)),
        symbols=frozenset(sign for sign, pattern in _SYMBOLS if pattern.search(folded)),
        dates=_dates(plain),
        denials=len(_DENIES.findall(folded)) or min(1, len(_DENIES_WEAKLY.findall(folded))),
        modals=tuple(_modals(folded)),
        folded=folded,
        words=words,
    )


def wording(text: str) -> str:
    """Return *text* without its numbers and units of money: what is left is compared as words, those as figures."""
    return " ".join(
        token[0]
        for token in re.finditer(r"[^\W_]+(?:['’][^\W_]+)*", text)
        if not any(each.isdigit() for each in token[0])
        and fold(token[0]) not in _WORDS_OF_NUMBERS
        and fold(token[0]) not in _WORDS_OF_SYMBOLS
    )


def contradicts(claim: Facts, support: Facts, around: Facts | None = None) -> str | None:
    """Return what of *claim* is not, or is otherwise, in *support*, in one word; None when nothing is.

    Names may also stand in *around*, the support with the sentence that it refers back to; nothing else may.
    """
    wrong = next((name for name, check in _CHECKS if check(claim, support)), None)
    return wrong or next((name for name, check in _NAME_CHECKS if check(claim, around or support)), None)


def _figures(folded: str) -> list[tuple[str, str]]:
    found = [(m.start(), f"{int(m[1])}:{m[2]}", _word_after(folded, m.end())) for m in _TIME.finditer(folded)]
    folded = _TIME.sub(lambda match: " " * len(match[0]), folded)
    for match in _NUMBER.finditer(folded):
        whole = "".join(each for each in match["whole"] if each.isdigit())
        decimals = (match["decimals"] or "").rstrip("0")
        value = f"{'-' if match['sign'] else ''}{whole}{'.' + decimals if decimals else ''}"
        found.append((match.start(), value, _word_after(folded, match.end())))
    found += _spelled(folded)
    return [(value, after) for _, value, after in sorted(found)]


def _spelled(folded: str) -> list[tuple[int, str, str]]:
    """Return (position, value, word after) of the numbers that are written as words; neighbours make one number."""
    found: list[tuple[int, str, str]] = []
    value, begun, end = 0, -1, -1
    for match in [*_SPELLED.finditer(folded), None]:
        joined = match is not None and begun >= 0 and folded[end : match.start()].strip(" -") in ("", "and", "et")
        if begun >= 0 and not joined:
            found.append((begun, str(value), _word_after(folded, end)))
            value, begun = 0, -1
        if match is None:
            break
        if match["small"] in _ARTICLES and _word_after(folded, match.end()) not in _UNITS and begun < 0:
            continue
        if begun < 0 and match["cent"] and re.search(r"\b(?:per|pour) ?$", folded[: match.start()]):
            continue
        begun = match.start() if begun < 0 else begun
        end = match.end()
        value = _grown(value, match)
    return found


def _grown(value: int, match: re.Match[str]) -> int:
    for name, factor in (("cent", 100), ("mille", 1000), ("million", 1_000_000)):
        if match[name]:
            return max(1, value) * factor
    if match["small"]:
        return value + (1 if match["small"] == "une" else _SMALL[match["small"]])
    return value + _TENS[match["tens"]] + (_SMALL[match["one"]] if match["one"] else 0)


def _word_after(folded: str, end: int) -> str:
    match = _UNIT.match(folded, end)
    return match[1].rstrip("s") if match and content_words(match[1]) else ""


def _names_and_codes(plain: str, tokens: list[re.Match[str]]) -> tuple[tuple[str, ...], frozenset[str]]:
    names: list[str] = []
    codes = set()
    for token in tokens:
        text = token[0]
        letters = any(each.isalpha() for each in text)
        if letters and (any(each.isdigit() for each in text) or len(text) > LONGEST_WORD):
            codes.add(_joined(text))
        elif letters and not text.islower() and _is_name(plain, token):
            names += re.findall(r"[^\W_]+", fold(text))
    return tuple(names), frozenset(codes)


def _is_name(plain: str, token: re.Match[str]) -> bool:
    text = token[0]
    if len(text) > 1 and any(each.isupper() for each in text[1:]):
        return True
    if not text[0].isupper() or len(text) == 1 or not content_words(text):
        return False
    before = plain[: token.start()].rstrip(" \u00a0\u202f“”«»\"'’(*_#>-–—•")
    return bool(before) and before[-1] not in ".!?:…\n"


def _dates(plain: str) -> frozenset[str]:
    found = set()
    for match in re.finditer(r"[^\W\d_]+", plain):
        word = fold(match[0])
        if word not in _CALENDAR:
            continue
        near = plain[max(0, match.start() - 4) : match.start()], plain[match.end() : match.end() + 3]
        numbered = any(each.isdigit() for each in "".join(near))
        if word not in _VERBS_TOO or numbered or (match[0][0].isupper() and near[0].rstrip(" ")[-1:].isalpha()):
            found.add(_CALENDAR[word])
    return frozenset(found)


def _joined(text: str) -> str:
    return re.sub(r"[\W_]+", "", fold(text))


def _compact(support: Facts) -> frozenset[str]:
    """Return the words of *support*, and what up to three neighbours make when they are written together."""
    words = support.words
    return frozenset("".join(words[i : i + n]) for n in (1, 2, 3, 4) for i in range(len(words))) | support.codes


def _holds(support: Facts, address: str) -> bool:
    escaped = re.escape(fold(address).replace("’", "'"))
    return re.search(rf"(?<![\w.@-]){escaped}(?![\w@/-]|\.\w)", support.folded) is not None


def _other_unit(claim: Facts, support: Facts) -> bool:
    """Say whether a number of *claim* counts something that in *support* another number counts, and only that one."""
    for value, unit in claim.figures:
        counted = {number for number, word in support.figures if word == unit}
        if unit and counted and value not in counted:
            return True
    return False


def _numbers_reordered(claim: Facts, support: Facts) -> bool:
    """Say whether numbers of one unit stand in another order than in *support*; without its unit one may be any's."""
    order = [value for value, _ in support.figures]
    units = {unit for _, unit in claim.figures}
    groups = [claim.figures] if "" in units else [[f for f in claim.figures if f[1] == unit] for unit in units]
    return any(not _within(list(dict.fromkeys(value for value, _ in group)), order) for group in groups)


def _named(claim: Facts, support: Facts) -> list[str]:
    """Return the names of *claim* in its order, also those at its beginning that only *support* shows to be names."""
    return [word for word in claim.words if word in claim.names or word in support.names]


def _within(some: tuple[str, ...] | list[str], all_of_them: tuple[str, ...] | list[str]) -> bool:
    """Say whether *some* is a subsequence."""
    rest = iter(all_of_them)
    return all(each in rest for each in some)


def _modals(folded: str) -> list[tuple[str, str]]:
    found = []
    for kind, pattern in _MODALS:
        for match in pattern.finditer(folded):
            rest = content_words(folded[match.end() : match.end() + 60])
            found.append((kind, rest[0] if rest else ""))
    return found


def _other_force(claim: Facts, support: Facts) -> bool:
    """Say whether *claim* makes a duty of what is only allowed in *support*, or the other way round."""
    kinds = {kind for kind, _ in support.modals}
    for kind, verb in claim.modals:
        same_verb = {each for each, word in support.modals if word == verb}
        if (same_verb and kind not in same_verb) or (kinds and kind not in kinds):
            return True
    return False


def _mixed(claim: Facts, support: Facts) -> bool:
    """Say whether numbers that stand together in *claim* stand apart in *support*, among others that fit as well.

    "One day after 5 years, two days after 10 years" does not say "two days after 5 years".
    """
    if not claim.values < support.values:
        return False
    clauses = [facts(each).values for each in _CLAUSE.split(support.folded)]
    together = (facts(each).values for each in _COORDINATE.split(claim.folded))
    return any(values and not any(values <= clause for clause in clauses) for values in together)


def _opposite(claim: str, support: str) -> bool:
    return any(way.search(claim) and not way.search(support) for way in _DIRECTIONS) or any(
        (one.search(claim) and other.search(support) and not one.search(support))
        or (other.search(claim) and one.search(support) and not other.search(support))
        for one, other in _OPPOSITES
    )


def _other_owner(claim: Facts, support: Facts) -> bool:
    """Say whether a name of *claim* has another number in *support*: "Leeds: 26 days; Lyon: 25 days", "Leeds has 25".

    Asked of claims with one name or one number: where there are more, their order was compared.
    """
    names = frozenset(_named(claim, support))
    if not names or not claim.values or (len(names) > 1 and len(claim.values) > 1):
        return False
    clauses = [facts(each) for each in _CLAUSE.split(support.folded) if each.strip()]
    for name in names:
        owned = [clause.values for clause in clauses if name in clause.words and clause.values]
        if owned and not any(claim.values & values for values in owned):
            return True
    return False


#: In the order of what they cost. Each returns whether the claim (first) is not borne out by the support.
_CHECKS: tuple[tuple[str, Callable[[Facts, Facts], bool]], ...] = (
    ("number", lambda claim, support: not claim.values <= support.values),
    ("date", lambda claim, support: not claim.dates <= support.dates),
    ("symbol", lambda claim, support: not claim.symbols <= support.symbols),
    ("negation", lambda claim, support: claim.denials != support.denials),
    ("code", lambda claim, support: bool(claim.codes) and not claim.codes <= _compact(support)),
    ("address", lambda claim, support: any(not _holds(support, each) for each in claim.addresses)),
    ("opposite", lambda claim, support: _opposite(claim.folded, support.folded)),
    ("force", _other_force),
    ("unit", _other_unit),
    ("mixed", _mixed),
    ("order", _numbers_reordered),
    ("owner", _other_owner),
)
_NAME_CHECKS: tuple[tuple[str, Callable[[Facts, Facts], bool]], ...] = (
    ("name", lambda claim, around: not set(claim.names) <= set(around.words)),
    ("order", lambda claim, around: not _within(tuple(dict.fromkeys(_named(claim, around))), around.words)),
)
