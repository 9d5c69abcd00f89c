"""The words that people who ask get to read, in English and in French. Everything else is quoted or generated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexing.documents import Scope


@dataclass(frozen=True, slots=True)
class Messages:
    """One language's wording."""

    lead: str  # before the reader's quotes
    disagree: str  # the same, when documents give different numbers
    open_quote: str
    close_quote: str
    nothing_found: str
    nothing_public: str  # the same, where answers are made from what everyone may read only
    nothing_together: str  # the same, where answers are made from what all who get to see them may read
    below_threshold: str
    unsupported: str
    notice: str  # that a machine answered


ENGLISH = Messages(
    lead="The documents say: ",
    disagree="The documents disagree: ",
    open_quote="“",
    close_quote="”",
    nothing_found="I don't know: nothing in the documents you may read matches this question.",
    nothing_public="I don't know: nothing in the documents that everyone may read matches this question.",
    nothing_together="I don't know: nothing in the documents that everyone here may read matches this question.",
    below_threshold="I don't know: the documents do not seem to answer this question. The closest passages are listed.",
    unsupported="I don't know: an answer was written, but no passage supports it, so it is not shown. "
    "The closest passages are listed.",
    notice="You are talking to an AI system: this answer was made automatically. Check it against its sources.",
)
FRENCH = Messages(
    lead="Les documents indiquent : ",
    disagree="Les documents se contredisent : ",
    open_quote="« ",
    close_quote=" »",
    nothing_found="Je ne sais pas : rien ne correspond à cette question dans les documents que vous pouvez lire.",
    nothing_public="Je ne sais pas : rien ne correspond à cette question dans les documents que tous peuvent lire.",
    nothing_together="Je ne sais pas : rien ne correspond à cette question dans les documents que toutes les personnes "
    "ici peuvent lire.",
    below_threshold="Je ne sais pas : les documents ne semblent pas répondre à cette question. "
    "Les passages les plus proches sont indiqués.",
    unsupported="Je ne sais pas : une réponse a été rédigée, mais aucun passage ne l’appuie ; elle n’est pas montrée. "
    "Les passages les plus proches sont indiqués.",
    notice="Vous dialoguez avec un système d’IA : cette réponse est produite automatiquement. Vérifiez-la dans ses "
    "sources.",
)


def messages(language: str) -> Messages:
    """Return the wording for a question in *language* (ISO 639-1): French for French, English for the rest."""
    return FRENCH if language == "fr" else ENGLISH


def abstention(language: str, reason: str, scope: Scope) -> str:
    """Return the sentence shown for an abstention; *reason* is that of ``app.events.Abstained``.

    It says of which documents nothing was found: those of *scope*.
    """
    wording = messages(language)
    nothing_shared = wording.nothing_public if scope.only_public else wording.nothing_together
    return {
        "nothing_found": nothing_shared if scope.is_shared else wording.nothing_found,
        "below_threshold": wording.below_threshold,
        "unsupported": wording.unsupported,
    }[reason]
