"""Whether a question stands by itself or leans on what was said before: rules for English and French, no model.

Anaphora (a pronoun, "this form", "ce délai") and ellipsis ("and in Leeds?", "why?") are told by closed lists of words
and by where they stand: a pronoun whose antecedent is in the question itself ("If I lose my badge, who replaces it?")
leans on nothing. When in doubt a question counts as complete: an old topic that is carried over into a new one costs
more than a follow-up that is not understood. Coreference and ellipsis are the cases of Elgohary, Peskov and
Boyd-Graber, "Can You Unpack That? Learning to Rewrite Questions-in-Context" (EMNLP 2019).
"""

from __future__ import annotations

import re
import unicodedata
from itertools import islice
from typing import Literal, TypeAlias

from app.terms import content_words, fold

#: complete: touches nothing said before. dependent: a sentence that needs a topic ("how long does it last?").
#: fragment: a piece that takes a place in the question before ("and in Leeds?").
Kind: TypeAlias = Literal["complete", "dependent", "fragment"]

LONGEST_FRAGMENT = 6  # content words
LONGEST_FOLLOW_UP = 300  # characters: who writes more has said what it is about
PRONOUNS_READ = 8
#: Nouns, verbs and units that ask something of a topic and are none themselves. Folded, no accents.
_GENERIC_WORDS = (
    # English
    "deadline deadlines procedure procedures process limit limits amount amounts price prices cost costs rate "
    "rates date dates delay condition conditions exception exceptions step steps duration maximum minimum reason "
    "reasons penalty consequence consequences example examples detail details rule rules difference contact "
    "document documents form forms "
    "happen happens happened apply applies applied last lasts start starts end ends change changes changed mean "
    "means work works decide decides approve approves approved pay pays paid sign signs ask request submit "
    "include includes included count counts expire expires required needed possible allowed mandatory optional "
    "day days week weeks month months year years hour hours minute minutes time times percent explain more "
    "different exactly responsible valid available true sure really earliest latest advance late early "
    # French
    "delai delais procedure procedures processus limite limites montant montants plafond plafonds prix cout couts "
    "taux date dates duree condition conditions exception exceptions etape etapes maximum minimum raison raisons "
    "motif motifs consequence consequences exemple exemples detail details regle regles difference interlocuteur "
    "document documents formulaire formulaires justificatif justificatifs piece pieces "
    "passe arrive applique appliquent dure durent coute coutent commence commencent finit termine change changent "
    "veut signifie fonctionne marche decide decident valide valident approuve approuvent paie paient paye signe "
    "signent demander demande envoyer contacter compris inclus compte comptent expire expirent "
    "concerne concernent requis necessaire possible permis obligatoire facultatif "
    "jour jours semaine semaines mois an ans annee annees heure heures minute minutes temps fois pourcent "
    "expliquer precisement exactement responsable valable disponible vrai sur vraiment tot tard avance retard "
)
_GENERIC = frozenset(_GENERIC_WORDS.split())
_LEAD = re.compile(
    r"(?:(?:and|but|so|also|then|well|now|ok|okay|thanks|thank you|great|et|mais|alors|donc|sinon|merci|bon|d'accord|"
    r"par contre|du coup|en revanche|ou bien)\b[\s,.!:…-]*)+"
)
_ABOUT = re.compile(
    r"(?:(?:what|how) about|what of|what if it is|same (?:question |thing )?(?:for|in|with|about)|"
    r"qu'en est[- ]il|quid|(?:la )?meme (?:question|chose)(?= pour| a| en| avec)|pareil(?= pour)|idem(?= pour))\b"
    r"[\s,:]*"
)
_PREPOSITION = re.compile(
    r"(?:in|at|for|with|without|from|on|to|after|before|during|under|outside|en|a|au|aux|pour|chez|dans|avec|sans|"
    r"depuis|apres|avant|pendant|sous|hors)\b"
)
_DETERMINER = re.compile(r"(?:the|a|an|our|my|le|la|les|un|une|des|du|mes|nos|notre)\b|l'")
_ASKS = re.compile(
    r"\b(?:what|which|who|whom|whose|when|where|why|how|is|are|was|were|do|does|did|can|could|may|must|should|shall|"
    r"will|would|have|has|had|que|quoi|quels?|quelles?|qui|quand|comment|combien|pourquoi|est|sont|etait|peut|peux|"
    r"puis|doit|dois|doivent|peuvent|faut|ont|avons|avez|sera|seront|y a)\b|\bqu'|-t-|^ou\b"
)
#: A quantity or a circumstance that is asked for another case: "how many for contractors?", "combien à Lyon ?".
_OTHER_CASE = re.compile(
    r"(?:how (?:many|much|long|often|soon)|combien|when|quand|who|qui|why|pourquoi|where)(?: (?:de |d')?\w+)? "
    r"(?:for|in|at|with|after|before|pour|a|au|aux|en|chez|dans|avec|apres|avant)\b"
)
_DUMMY = re.compile(
    # "is it possible to", "does it take to", "it depends whether"; "il y a", "faut-il", "est-il possible de"
    r"\b(?:is|was|would|will) it (?:be )?(?:\w+ )?(?:possible|allowed|ok|okay|permitted|necessary|mandatory|required|"
    r"legal|true|enough|better|normal|compulsory|forbidden) (?:to|that|for|if)\b|\bit is \w+ (?:to|that|for)\b|"
    r"\bdoes it take (?:\w+ ){0,4}?(?:to|for)\b|\bdoes it cost to\b|\bwhat time is it\b|"
    r"\b(?:is|are|was|were|will|can) there\b|\bthere (?:is|are|was|were|be|a|any)\b|"
    r"\best[- ]ce (?:que\b|qu'|qui\b)|\bqu'est[- ]ce (?:que\b|qu'|qui\b)?|\bc'est (?:quoi|qui|quand|combien|ou) "
    r"(?:le|la|les|un|une|des|l')|\bil y (?:a|avait|aura)\b|\by a[- ]t[- ]il\b|\b(?:faut|suffit|reste|existe)"
    r"(?:[- ]t)?[- ]il\b|\bil (?:faut|suffit|existe|s'agit|reste)\b|\bs'agit[- ]il\b|\b(?:est[- ]il|il est) (?:\w+ )?"
    r"(?:possible|permis|interdit|obligatoire|necessaire|autorise|utile|prevu|vrai) (?:de\b|d'|que\b|qu'|pour\b|a\b)|"
    r"\by compris\b|\bce (?:qui|que|dont)\b|\bce qu'"
)
_PRONOUN = {
    "en": re.compile(
        r"\b(?:it|they|them|he|she|him|there|theirs|hers|itself|themselves)\b|\bits\b(?=[\s?.!]*$)|"
        r"\b(?:this|these|those)\b"
        r"(?! (?:year|month|week|morning|evening|quarter|company|handbook|document|site|time)\b)|"
        r"(?:^|\b(?:is|are|was|does|do|did|can|will|would|of|for|about|after|before|with|on|in|to|why|if|like) )"
        r"that\b(?! (?:is|are) )|\b(?:which|that|this|another|other|new|old) ones?\b|\bthe (?:latter|former|others?)\b|"
        r"\b(?:what|anything|who|where) else\b|"
        r"\b(?:the )?same\b(?! (?:day|time|as|year|week|month|moment))"
    ),
    "fr": re.compile(
        r"(?<![-\w])(?:ils?|elles?|ca|cela|ceci|eux)\b|(?<![-\w])c'(?:est|etait)\b|"
        r"-(?:ils?|elles?)\b|\b(?:celui|celle|ceux|celles)(?:-ci|-la)?\b(?! (?:qui|que|dont)\b)|"
        r"(?<![-\w])(?:ce|cet|cette|ces) (?!(?:qui|que|dont|sont|est|matin|soir|jour|mois|annee|semaine|trimestre|"
        r"moment|document|entreprise|site|manuel|sera|serait|n)\b)\w+|"
        r"\b(?:ce dernier|cette derniere|ces derniers|ces dernieres)\b|\b(?:quoi d'autre|autre chose|qui d'autre)\b|"
        r"\b(?:le|la|les) memes?\b(?! (?:jour|temps|mois|annee|semaine|que)\b)|"
        r"\b(?:qui|comment|quand|ou|pourquoi|peut-on|puis-je|doit-on|dois-je|faut-il|peut-il|pour) "
        r"(?:(?:le|la|les|lui|leur|en|y) \w+(?:er|ir|re|oir|ent|e|it|ut|oit)(?: \w+)?[\s?.!]*$|"
        r"l'\w+(?:er|ir|re|oir)\b)|"
        r"\b(?:qui|combien|on|je|peut-on|puis-je) (?:en|y) "
        r"(?:a|ai|ont|est|avoir|faire|reste|decide|beneficie|profite)\b|"
        r"\by (?:ont|avons|avez|avoir|ai droit|a droit|as droit)\b|"
        r"\b(?:dedans|dessus|la-bas|pareil|idem)\b"
    ),
}
_POSSESSIVE = {
    "en": re.compile(r"\b(?:its|their|his|her)\b"),
    "fr": re.compile(r"\b(?:son|sa|ses|leurs?)\b"),
}
_CLAUSE = re.compile(
    r"[,;]|\b(?:and|or|but|if|when|while|whether|before|after|because|once|unless|until|whose|"
    r"et|ou|mais|si|quand|lorsqu|lorsque|avant|apres|parce|puisque|puisqu)\b|"
    r"(?<=\w )(?:who|which|that|qui|que|dont|qu')"
)
#: "quel délai a-t-il": what comes before the verb is its object, so the subject is somewhere else.
_OBJECT_FIRST = re.compile(r"(?:(?:a|de|dans|pour|en|sous) )?(?:quel\w*|combien de) \w+ $")


def even(text: str) -> str:
    """Return *text* in small letters without accents, apostrophes straight: each character in its own place."""
    return "".join(unicodedata.normalize("NFD", each)[0].lower()[:1] for each in text.replace("’", "'"))


def body_of(question: str) -> tuple[str, bool]:
    """Return *question* without what leads into it ("and", "what about", "et"), and whether something did."""
    folded = even(question)
    start = lead.end() if (lead := _LEAD.match(folded)) else 0
    if about := _ABOUT.match(folded, start):
        start = about.end()
    rest = question[start:].strip()
    return (rest, start > 0) if rest.strip("?!. \u00a0\u202f") else (question.strip(), False)


def own_words(text: str) -> list[str]:
    """Return the content words of *text* that can be a topic: without "deadline", "applies", "jours" and their like."""
    return [word for word in content_words(text) if fold(word) not in _GENERIC]


def kind_of(question: str, language: str, topic: str) -> Kind:
    """Return what *question* is after a question about *topic*, by the rules of *language* (English unless "fr")."""
    if len(question) > LONGEST_FOLLOW_UP:
        return "complete"
    body, led = body_of(question)
    text = even(body)
    own = own_words(body)
    asks = _ASKS.search(text) is not None
    if not asks and len(own) <= LONGEST_FRAGMENT and _is_piece(question, text, own, led=led):
        return "fragment"
    if not own or (_OTHER_CASE.match(text) and len(own) <= 3) or _refers_back(text, language):
        return "dependent"
    if led and (len(content_words(body)) <= 1 or (len(own) <= 3 and _shares(body, topic))):
        return "dependent"
    return "complete"


def _is_piece(question: str, text: str, own: list[str], *, led: bool) -> bool:
    """Say whether *text*, which asks nothing by itself, is a piece to put into the question before."""
    if led or _PREPOSITION.match(text):
        return True
    if not question.rstrip().endswith("?"):
        return False  # "remote work policy": words to search for, complete in themselves
    return len(own) <= 1 or (len(own) <= 2 and _DETERMINER.match(text) is not None)


def _shares(text: str, topic: str) -> bool:
    return bool({fold(word) for word in content_words(text)} & {fold(word) for word in content_words(topic)})


def _refers_back(text: str, language: str) -> bool:
    """Say whether a pronoun of *text* has its antecedent outside of it."""
    rules = "fr" if language == "fr" else "en"
    text = _DUMMY.sub(" ", text)
    for pronoun in islice(_PRONOUN[rules].finditer(text), PRONOUNS_READ):
        before = text[: pronoun.start()]
        if pronoun[0].startswith("-"):  # an inversion: "la prime est-elle versée", but "quand doit-il partir"
            subject = before[: before.rfind(" ") + 1]
            if not content_words(subject) or _OBJECT_FIRST.fullmatch(subject):
                return True
        elif not (_CLAUSE.search(before) and len(own_words(before)) >= 2):
            return True
    possessive = _POSSESSIVE[rules].search(text)
    return possessive is not None and (len(own_words(text)) <= 2 or not content_words(text[: possessive.start()]))
