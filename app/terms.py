"""The content terms and the numbers of a text: what a question and a sentence can have in common."""

from __future__ import annotations

import re
import unicodedata

from indexing.keywords import analyse
from indexing.sentences import words

#: Words that say how something is asked or said, not what: they never count as shared content. Folded, no accents.
_FUNCTION_WORDS = (
    # English
    "a about above after again against all also am an and any are as at be because been before being below between "
    "both but by can could did do does doing down during each few for from further had has have having he her here "
    "hers him his how i if in into is it its itself just let may me might more most much many must my no nor not now "
    "of off on once only or other our ours out over own per please same shall she should so some such tell than that "
    "the their theirs them then there these they this those through to too under until up upon us use used very was "
    "we were what when where which while who whom whose why will with within without would you your yours "
    "long often old far big s t d ll m re ve say says said give find know get need "
    # French
    "ai ainsi alors au aucun aucune aura aussi autre autres aux avait avant avec avez avoir avons ayant c ca ce ceci "
    "cela celle celles celui ces cet cette ceux chaque chez ci combien comme comment d dans de depuis des dois doit "
    "doivent donc dont du durant elle elles en encore entre es est et etaient etait etant ete etes etre eu faire fait "
    "faut fois font il ils j je jusqu jusque l la laquelle le lequel les lesquelles lesquels leur leurs lors lorsque "
    "lui ma mais me meme memes mes moi moins mon n ne ni nos notre nous on ont ou par parce parmi pas pendant peu peut "
    "peuvent peux plus plusieurs pour pourquoi pouvez qu quand que quel quelle quelles quels quelqu qui quoi sa sans "
    "se sera seront ses si soit son sont sous sur t ta tes toi ton tous tout toute toutes tres trop tu un une vers "
    "votre vos vous y quelque quelques dit dire lorsqu puis afin moment etais suis sommes"
)
_STOP_WORDS = frozenset(_FUNCTION_WORDS.split())
#: Groups of three, or plain digits; then perhaps decimals. The separators are those of both languages.
_NUMBER = re.compile(r"(?P<whole>\d{1,3}(?:[.,\u00a0\u202f ]\d{3})+(?!\d)|\d+)(?:[.,](?P<decimals>\d{1,9}))?")


def fold(word: str) -> str:
    """Return *word* in small letters without accents; "œ" becomes "oe"."""
    decomposed = unicodedata.normalize("NFKD", word.casefold().replace("œ", "oe").replace("æ", "ae"))
    return "".join(each for each in decomposed if not unicodedata.combining(each))


def content_terms(text: str, language: str = "und") -> list[str]:
    """Return the stems of the content words of *text*, in order, repeats kept; [] when there are none.

    The stems are those of the keyword index (Snowball, by *language*). Question words and the verbs that only
    frame a question ("find", "need", "dit") are left out as well.
    """
    return analyse(" ".join(content_words(text)), language).stems


def content_words(text: str) -> list[str]:
    """Return the content words of *text* as they are written, case-folded, in order; [] when there are none."""
    return [word for word in words(text) if fold(word) not in _STOP_WORDS]


def numbers(text: str) -> frozenset[str]:
    """Return the numbers of *text*, written one way: "10 000" and "10,000" are 10000, "2,50" is 2.5."""
    found = set()
    for match in _NUMBER.finditer(text):
        decimals = (match["decimals"] or "").rstrip("0")
        found.add("".join(each for each in match["whole"] if each.isdigit()) + (f".{decimals}" if decimals else ""))
    return frozenset(found)
