"""What is said about answers that no longer hold, in English and in French. Strings hold no markup."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecallWording:
    """One language's strings."""

    correction: str  # {date}
    changed: str  # {titles}
    gone: str  # {numbers}: as in the answer's list of sources
    now: str
    unknown: str
    again: str  # {date}
    ask_again: str  # {date}
    corrected: str  # above the answer that is corrected


ENGLISH = RecallWording(
    correction="Correction: what I answered on {date} no longer holds.",
    changed="Changed since then: {titles}",
    gone="Gone since then: what it quoted as {numbers}",
    now="Now:",
    unknown="The documents no longer say.",
    again="Correction: the documents say again what I said on {date} they did not.",
    ask_again="What I answered on {date} no longer holds either: please ask again.",
    corrected="⚠ Corrected below",
)
FRENCH = RecallWording(
    correction="Correction : ce que j’ai répondu le {date} n’est plus valable.",
    changed="Modifié depuis : {titles}",
    gone="Supprimé depuis : ce qui était cité en {numbers}",
    now="Maintenant :",
    unknown="Les documents ne le disent plus.",
    again="Correction : les documents disent de nouveau ce que j’ai dit le {date} ne pas y trouver.",
    ask_again="Ce que j’ai répondu le {date} n’est plus valable non plus : merci de reposer la question.",
    corrected="⚠ Corrigé plus bas",
)


def recall_words(language: str) -> RecallWording:
    """Return the wording for an answer in *language* (ISO 639-1): French for French, English for the rest."""
    return FRENCH if language == "fr" else ENGLISH
