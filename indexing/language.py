"""The language of a text, robust between English and French for questions of a few words.

A model of letter sequences (py3langid) is unreliable below a sentence: names, codes and borrowed words mislead it. So
function words vote first, those of seven languages, with elisions and accents as further signs; the model decides
where they are silent or tied. A text with nothing to go by keeps the caller's default.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

UNKNOWN = "und"

_WORDS = {
    "en": "the of and to in is that it was for on are as with his they at be this from have or by one had not "
    "but what all were when we there can an your which their said if do will each how about up out many "
    "then them these some her would make him has two more who did does should could where why whose shall "
    "may must been its after before between into than our us you i my am any whom also during",
    "fr": "le la les de des du un une et est sont été être avoir dans en au aux pour par sur pas ne que qui "
    "quoi quel quelle quels quelles où quand comment combien pourquoi ce cet cette ces son sa ses leur "
    "leurs mon ma mes notre nos votre vos il elle ils elles on nous vous je tu se plus avec sans sous "
    "entre mais ou donc dont si peut doit faut a ont fait quelqu lequel laquelle chez vers lors très "
    "aussi après avant depuis pendant y",
    "de": "der die das und ist in den von zu mit sich des auf für nicht ein eine dem wie im es an auch als nach "
    "bei aus war wird sind einer um am wer was wann wo warum welche welcher kann oder aber noch hat haben "
    "werden wurde über",
    "es": "el la los las de del y que en un una es por con para se no su al lo como más pero sus le ya o este "
    "sí porque esta entre cuando muy sin sobre también me hasta hay donde quien qué cuál cuáles cuándo "
    "cómo dónde quién fue son",
    "it": "il lo la i gli le di del della dei delle e che in un una è per con non si da al come più ma sono nel "
    "alla quale quali quando dove chi cosa perché anche ha questo questa essere stato ed dal nella sul",
    "pt": "o a os as de do da dos das e que em um uma é por com para não se no na mais como mas foi ao ele tem "
    "à seu sua ou quando muito já eu também só pelo pela até isso qual quais onde quem são está nos nas",
    "nl": "de het een en van in is dat op te zijn met voor niet aan er om ook als dan maar bij of uit nog wel "
    "naar heeft hebben worden wordt deze dit die wat wie waar wanneer waarom welke hoe kan geen over door "
    "tot",
}
LANGUAGES = tuple(_WORDS)
_VOCABULARY = {language: frozenset(words.split()) for language, words in _WORDS.items()}

_SAMPLE_CHARACTERS = 4000
_SHORT_LETTERS = 60  # below, letter sequences alone are not believed about rare languages
_CLEAR_LEAD = 1.0  # votes ahead of the second language
_SURE = 0.8  # of the model, which is calibrated to 0..1

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_ELISION = re.compile(r"(?i)\b(?:[ldjmtnsc]|qu|jusqu|lorsqu|puisqu|quelqu)['’](?=[^\W\d_])")
_CONTRACTION = re.compile(r"(?i)(?:\w['’](?:s|re|ve|ll|d|m)|n['’]t)\b")
_SIGNS = (
    ("fr", re.compile(r"(?i)[éèêëàâîïôùûç]|œ"), 0.5),
    ("de", re.compile(r"(?i)[äöüß]"), 0.5),
    ("es", re.compile(r"(?i)[ñ¿¡óí]"), 0.5),
    ("it", re.compile(r"(?i)[òì]|à\b"), 0.25),
    ("pt", re.compile(r"(?i)[ãõ]|ç[ãõ]"), 0.75),
)
_MOST_SIGNS = 3.0


def detect_language(text: str, default: str = UNKNOWN) -> str:
    """Return the ISO 639-1 code of the text's language, or *default* when there is nothing to go by."""
    sample = text[:_SAMPLE_CHARACTERS]
    words = _WORD.findall(sample)
    letters = sum(map(len, words))
    if letters < 2:
        return default
    best, second, language = _vote(sample, words)
    short = letters < _SHORT_LETTERS
    # Long texts almost without function words are lists of names, or in another language altogether.
    if best >= max(0.5, 0 if short else len(words) * 0.05) and best - second >= (0.5 if short else _CLEAR_LEAD):
        return language
    return _by_letters(sample, letters, default)


def _vote(sample: str, words: list[str]) -> tuple[float, float, str]:
    """Return the votes of the first and second language and the first one's code.

    A function word that several languages share counts for each of them, so it decides nothing between them.
    """
    votes = dict.fromkeys(LANGUAGES, 0.0)
    for word in words:
        folded = word.casefold()
        for part in re.split("['’]", folded):
            for language in LANGUAGES:
                votes[language] += part in _VOCABULARY[language]
    votes["fr"] += len(_ELISION.findall(sample))
    votes["en"] += len(_CONTRACTION.findall(sample))
    for language, sign, weight in _SIGNS:
        votes[language] += min(_MOST_SIGNS, weight * len(sign.findall(sample)))
    for language in ("en", "fr"):  # the languages that this product is mostly asked in win ties
        votes[language] += 0.5 * (votes[language] > 0)
    ranked = sorted(LANGUAGES, key=lambda code: -votes[code])
    return votes[ranked[0]], votes[ranked[1]], ranked[0]


def _by_letters(sample: str, letters: int, default: str) -> str:
    """Return what the model of letter sequences says where it is sure, else *default*."""
    scores: list[tuple[str, float]] = _model().rank(sample)
    if letters < _SHORT_LETTERS and any("a" <= c.lower() <= "z" for c in sample):
        scores = [(code, score) for code, score in scores if code in _VOCABULARY]
    total = sum(score for _, score in scores)
    code, score = scores[0]
    if total > 0 and score / total >= _SURE:
        return code
    return default


@cache
def _model() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
