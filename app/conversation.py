"""Follow-up questions made complete: what is searched for when somebody asks "and in Leeds?".

Rules first (``app.follow_up``): a question that stands by itself is never touched, a follow-up takes along the content
words of the question before, and names from its answer. A model that is there anyway may word it better, but only with
words that were already said.

History is untrusted: a client sends it, and an answer in it may hold anything. So plain words alone leave it, a bounded
number of them from a bounded number of turns, without addresses, markers and tags; system turns are not read. It can
change what is searched for, never what may be read: retrieval is under the scope of who asks, and only passages are
cited.
"""

from __future__ import annotations

import re
import time
import unicodedata
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.errors import GeneratorError
from app.follow_up import body_of, even, kind_of, own_words
from app.generator import Deadlines, GenerationRequest, Turn
from app.shown import visible
from app.terms import content_words, fold
from indexing.language import detect_language

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.generator import Generator

TURNS_READ = 6  # of the user, latest ones
TURN_CHARS_READ = 2000
WORDS_OF_A_QUESTION = 30
WORDS_CARRIED = 8  # into a sentence that lacks its topic
NAMES_CARRIED = 3  # from the answer before
LONGEST_WORD = 30  # characters: longer ones are keys, codes and nonsense
REWRITE_S = 4.0  # seconds that a model gets; the answer waits for it
REWRITE_TOKENS = 60
REWRITE_CHARS = 300

#: Nothing of these may enter a search: addresses, e-mail addresses, tags, markers, what looks like a host name.
_NOT_WORDS = re.compile(
    r"\S{0,200}(?://|\\\\|@)\S{0,500}|</?[A-Za-z!][^<>]{0,300}>?|<\|[^<>|]{0,40}\|?>?|[\[【][^\]】]{0,20}[\]】]|"
    r"\b(?:javascript|data|mailto|vbscript|tel|file):\S{0,500}|[^\s.,]{1,80}(?:\.[^\s.,\d][^\s.,]{1,80})+\S{0,200}",
    re.IGNORECASE,
)
_PLAIN_WORD = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+(?:['’-][^\W_]+)*")
_NAME = re.compile(r"(?<![^\W_])[A-ZÀ-Ý][^\W_]+(?:['’-][^\W_]+)*(?: [A-ZÀ-Ý][^\W_]+(?:['’-][^\W_]+)*)*")
#: Prepositions that take one another's place: what "in Leeds" says, "in Lyon" must not say beside it.
_SAME_PLACE = (frozenset({"in", "at"}), frozenset({"à", "a", "au", "aux", "en", "dans", "chez"}))
_PREPOSITION_WORDS = "in at for with without from on to after before during a au aux en dans chez pour avec sans"
_PREPOSITIONS = frozenset(_PREPOSITION_WORDS.split())
_ARTICLE_WORDS = "the a an our my le la les un une des du l mes nos notre"
_ARTICLES = frozenset(_ARTICLE_WORDS.split())
_ANYONE_WORDS = (
    "staff employee employees people everyone everybody workers colleagues "
    "salarie salaries employe employes personnel collaborateur collaborateurs"
)
_CONDITIONS = frozenset({"if", "when", "si", "s'il", "quand", "lorsque"})
_FOR_SOME = re.compile(r"\A(?:for|pour)\s+", re.IGNORECASE)
_ANYONE = frozenset(_ANYONE_WORDS.split())
#: Words that a model may add. Function words come on top (those that are no content words).
_MAY_BE_ADDED = frozenset({"case", "about", "regarding", "concerning", "cas", "concernant", "propos"})
_PREAMBLE = re.compile(
    r"\s*(?:(?:standalone |rewritten )?question(?: autonome| reformulée)?\s?:)?[\s\"“«]*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What to search for. ``carried`` are the words that the history brought, in order; () when it brought none."""

    question: str
    follow_up: bool = False
    carried: tuple[str, ...] = ()


def standalone(
    question: str,
    history: Sequence[Turn],
    language: str = "und",
    *,
    generator: Generator | None = None,
    deadlines: Deadlines | None = None,
) -> Rewritten:
    """Return *question*, complete in itself; unchanged without history and when it already is.

    *language* chooses the rules; for "und" it is found out. A *generator* other than the reader is asked to word a
    follow-up, within REWRITE_S and *deadlines*; when it fails, is late or brings a word that nobody said, the rules'
    version stands. Raises nothing for any history.
    """
    asked = [turn for turn in history if turn.role == "user"][-TURNS_READ:]
    topic = ""
    for turn in asked:
        earlier = " ".join(plain_words(turn.text)[:WORDS_OF_A_QUESTION])
        earlier += "?" if "?" in turn.text[:TURN_CHARS_READ] else ""
        topic = _complete(earlier, topic, "", _language(earlier, topic, "und")).question
    if not topic.strip("?"):
        return Rewritten(question)
    answer = _answer_before(history)
    rules = _complete(question, topic, answer, _language(question, topic, language))
    if not rules.follow_up or generator is None or generator.name == "reader":
        return rules
    return _worded(question, rules, topic, generator, deadlines) or rules


def plain_words(text: str) -> list[str]:
    """Return the words of an untrusted *text*, as written: no addresses, markers, tags, hidden signs or long codes."""
    readable = visible(unicodedata.normalize("NFC", visible(text[:TURN_CHARS_READ])))
    return [word for word in _PLAIN_WORD.findall(_NOT_WORDS.sub(" ", readable)) if len(word) <= LONGEST_WORD]


def _language(question: str, topic: str, language: str) -> str:
    if language != "und":
        return language
    return detect_language(question, detect_language(topic))


def _complete(question: str, topic: str, answer: str, language: str) -> Rewritten:
    """Return *question* with what it lacks from *topic*, the question before, by rules."""
    if not topic:
        return Rewritten(question)
    kind = kind_of(question, language, topic)
    if kind == "complete":
        return Rewritten(question)
    if kind == "fragment":
        return _in_its_place(question, topic)
    said = {fold(word) for word in content_words(question)}
    carried = _new([*_topics(topic)[:WORDS_CARRIED], *_names(answer, topic)], said)
    if not carried:
        return Rewritten(question, follow_up=True)
    return Rewritten(f"{question} ({' '.join(carried)})", follow_up=True, carried=carried)


def _topics(text: str) -> list[str]:
    """Return the words of *text* that say what it is about, as written; all content words when each is generic."""
    words = plain_words(text)
    return [word for word in words if own_words(word)] or [word for word in words if content_words(word)]


def _in_its_place(question: str, topic: str) -> Rewritten:
    """Return the question before with the fragment *question* put into it, in place of what it contrasts with."""
    piece, led = body_of(question)
    words = plain_words(topic)
    start, end = _counterpart(words, piece, led=led)
    bare = _FOR_SOME.sub("", piece)
    if start == len(words) and bare != piece:  # "for contractors" may also stand where "staff" stands
        start, end = _counterpart(words, bare, led=False)
        piece = piece if start == len(words) else bare
    kept = words[:start] + words[end:]
    carried = _new(_topics(" ".join(kept)), {fold(word) for word in content_words(piece)})
    if not carried:
        return Rewritten(question, follow_up=True)
    mark = piece.rstrip("?!. \u00a0\u202f")
    put = [*words[:start], mark, *words[end:]]
    return Rewritten(f"{' '.join(put)}{piece[len(mark) :]}", follow_up=True, carried=carried)


def _counterpart(words: list[str], piece: str, *, led: bool) -> tuple[int, int]:
    """Return where in *words* the phrase stands whose place *piece* takes; the empty place at the end for none.

    The same preposition takes its place ("in Lyon" that of "in Leeds"), a name that of a name, and some people
    ("for contractors") that of people in general.
    """
    first = next(iter(piece.casefold().split()), "")
    places = next((places for places in _SAME_PLACE if first in places), frozenset({first})) - {"a"}
    # The last phrase is the likeliest one; "a" without its accent is more often a verb.
    at = next((i for i in range(len(words) - 1, 0, -1) if words[i].casefold() in places), None)
    if at is not None and even(first) in _PREPOSITIONS:
        end = at + 1
        while end < len(words) and even(words[end]) in _ARTICLES:
            end += 1
        while end < len(words) and content_words(words[end]):
            end += 1
        return at, end
    own = plain_words(piece)
    names = [i for i in range(1, len(words)) if _is_name(words[i])]
    if led and names and own and all(word[:1].isupper() for word in own):
        end = names[0]
        while end in names:
            end += 1
        return names[0], end
    anyone = next((i for i, word in enumerate(words) if fold(word) in _ANYONE), None)
    if anyone is not None and first not in _CONDITIONS and even(first) not in _PREPOSITIONS:
        start = anyone
        while start and even(words[start - 1]) in _ARTICLES:
            start -= 1
        return start, anyone + 1
    return len(words), len(words)


def _is_name(word: str) -> bool:
    return word[:1].isupper() and word[1:].islower()


def _answer_before(history: Sequence[Turn]) -> str:
    """Return the answer to the last question of *history*, shortened; "" when there is none."""
    for turn in reversed(history):
        if turn.role == "assistant":
            return turn.text[:TURN_CHARS_READ]
        if turn.role == "user":
            return ""
    return ""


def _names(answer: str, topic: str) -> list[str]:
    """Return the first names in *answer*, if it speaks of *topic*: one that does not was not its answer.

    A name stands inside a sentence, or is two words long: any sentence begins with a capital.
    """
    text = " ".join(plain_words(answer)[:60])
    topics = {fold(word) for word in own_words(topic)}
    if not topics & {fold(word) for word in content_words(text)}:
        return []
    found: list[str] = []
    for name in _NAME.finditer(text):
        words = [word for word in name[0].split() if content_words(word) and fold(word) not in topics]
        if name.start() > 0 or " " in name[0]:
            found += words
    return found[:NAMES_CARRIED]


def _new(words: Sequence[str], said: set[str]) -> tuple[str, ...]:
    """Return *words* once each, without those whose content was *said* already."""
    once: dict[str, str] = {}
    for word in words:
        if not {fold(part) for part in content_words(word)} <= said:
            once.setdefault(fold(word), word)
    return tuple(once.values())


def _worded(
    question: str, rules: Rewritten, topic: str, generator: Generator, deadlines: Deadlines | None
) -> Rewritten | None:
    """Return the generator's wording of a follow-up, or None when it cannot be used."""
    left_s = REWRITE_S if deadlines is None else min(REWRITE_S, deadlines.answer - time.monotonic())
    request = GenerationRequest(
        question=question,
        language=_language(question, topic, "und"),
        passages=(),
        history=(Turn("user", topic),),
        max_tokens=REWRITE_TOKENS,
        deadlines=Deadlines.starting_now(first_token_s=left_s, answer_s=left_s),
        task="rewrite",
    )
    text = ""
    try:
        with closing(generator.generate(request)) as pieces:
            for piece in pieces:
                request.deadlines.left_s(started=True)
                text += piece
                if len(text) > REWRITE_CHARS:
                    return None
    except GeneratorError:
        return None
    return _accepted(text, question, rules, topic)


def _accepted(text: str, question: str, rules: Rewritten, topic: str) -> Rewritten | None:
    """Return *text* as the question to search with if each content word in it was said, and none of theirs is lost."""
    line = _PREAMBLE.sub("", text, count=1).strip().strip('"”» ')
    if not line or "\n" in line or _NOT_WORDS.search(line):
        return None
    own = {fold(word) for word in own_words(question)}
    allowed = {fold(word) for word in content_words(f"{question} {topic} {rules.question}")} | _MAY_BE_ADDED
    words = content_words(line)
    said = {fold(word) for word in words}
    if not said <= allowed or not own <= said:
        return None
    carried = _new(words, {fold(word) for word in content_words(question)})
    return Rewritten(line, follow_up=True, carried=carried) if carried else None
