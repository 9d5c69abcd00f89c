"""Which messages of a channel the bot answers: what a question is, and what the channel's policy says. Pure.

A question that nobody put to the bot is told by how it is written: a question mark, an interrogative or an inversion at
the start of a sentence, "est-ce que". It has to name something: "Why?" and "Who are you?" are said to people. When in
doubt a message is none: a bot that talks into a conversation costs more than a question that has to be put to it.
"""

from __future__ import annotations

import html
import re
from itertools import islice
from typing import TYPE_CHECKING

from app.errors import BadRequest
from app.follow_up import body_of, even
from app.terms import content_words

if TYPE_CHECKING:
    from app.slack.records import Incoming, Policy

ANSWERS = ("off", "mention", "questions", "all")
UNKNOWN = ("say", "silent")
EDITORS = ("admins", "members")
#: Sources that a policy may name: as many as a menu of Slack has entries.
MOST_SOURCES = 100

SENTENCES_READ = 20
CHARACTERS_READ = 4000

# --- what people write in Slack ---------------------------------------------------------------------------------

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_QUOTED_LINE = re.compile(r"^[ \t]*(?:&gt;|>).*$", re.MULTILINE)
_LINK = re.compile(r"<(?:https?|mailto|tel):[^<>|]*(?:\|([^<>]*))?>")
_PEOPLE = re.compile(r"<[@!#][^<>]*>")
_ADDRESS = re.compile(r"\bhttps?://\S+")
_EMOJI = re.compile(r":[a-z0-9_+'-]+(?:::skin-tone-\d)?:")
#: A message that begins so is for somebody: a user, or a group of users.
_TO_SOMEBODY = re.compile(r"\s*<(?:@[A-Z0-9]+|!subteam\^[A-Z0-9]+)(?:\|[^<>]*)?>")
_LETTERS = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_BLANKS = re.compile(r"[ \t\u00a0\u202f]+")

# --- what is said to be polite ----------------------------------------------------------------------------------

#: What is said around an answer, and asks for none; folded. The rest of a polite message is in _POLITE.
_PHRASES = re.compile(
    r"\b(?:good (?:morning|afternoon|evening|night|day|bye|job|work|point)|have a (?:nice|good|great|lovely) \w+|"
    r"see (?:you|u)(?: (?:later|soon|tomorrow|there|then))?|happy (?:birthday|new year|\w+day)|no (?:problem|worries)|"
    r"(?:that|this|it)(?:'s| is) (?=\w+\W*$)|for (?:your|the|all your|all the) (?:quick )?(?:help|answer|reply|time)|"
    r"how are (?:you|things|we)(?: (?:all|doing|today))*|how(?:'s| is) it going|what(?:'s| is) up|who cares|well done|"
    r"i see|got it|will do|not bad|of course|you're welcome|"
    r"bonne (?:journee|soiree|nuit|semaine|fin de \w+|annee|idee|nouvelle|continuation|reception)|"
    r"bon (?:week-?end|weekend|appetit|courage|travail)|au revoir|a (?:demain|bientot|plus|tout a l'heure|lundi)|"
    r"(?:pour|de) (?:votre|ton|ta|la|l'|cette|ces) ?(?:aide|reponse|reponses|retour|infos?|precisions?)|"
    r"(?:comment )?ca va(?: bien)?|comment (?:vas-tu|allez-vous)|quoi de neuf|de rien|pas de (?:souci|probleme)|"
    r"je vous en prie|je t'en prie|avec plaisir|c'est (?:note|bon|parfait|super|genial|clair|compris|gentil)|"
    r"bien (?:recu|vu|joue|sur)|tant (?:mieux|pis)|ca marche|(?:joyeux|joyeuses?|bon) (?:anniversaire|noel|fetes))\b"
)
#: A message of nothing but these is polite too.
_POLITE_WORDS = (
    "hi hello hey heya yo morning good bye goodbye all everyone everybody team folks guys there thanks thank thx ty "
    "cheers you so very really much lot a again ok okay k kk sure great nice cool awesome perfect excellent super "
    "amazing wow congrats congratulations welcome yes yep yeah no nope np noted understood right indeed agreed "
    "exactly lol haha hahaha ha oh ah hmm please sorry oops done seriously "
    "bonjour bonsoir salut coucou merci beaucoup bien bcp mille tous toutes et le monde tout parfait genial top "
    "impeccable nickel bravo felicitations d'accord entendu compris recu oui ouais non si volontiers vraiment "
    "serieux serieusement mdr hein bof dommage desole pardon vous toi"
)
_POLITE = frozenset(_POLITE_WORDS.split())
_LONGEST_PLEASANTRY = 12  # words

# --- how questions begin ----------------------------------------------------------------------------------------

_AUXILIARY = (
    r"(?:is|are|was|were|do|does|did|can|could|may|must|should|shall|will|would|have|has|had|am|"
    r"isn't|aren't|wasn't|weren't|don't|doesn't|didn't|can't|couldn't|shouldn't|won't|wouldn't|haven't|hasn't)"
)
_SUBJECT = (
    r"(?:i|we|you|he|she|it|they|one|there|this|that|these|those|the|a|an|my|our|your|his|her|their|its|any|all|each|"
    r"every|some|somebody|someone|anybody|anyone|everybody|everyone|no|nobody|both|\w+s)"
)
_ENGLISH = re.compile(
    rf"(?:what|which|who|whom|whose)(?:'s|'re| {_AUXILIARY}\b(?! why\b))|"
    r"(?:what|which) (?!an?\b|the\b|is why\b)\w+ .*\b(?:is|are|do|does|did|can|could|must|should|will|would|has|have|"
    r"applies|apply|counts?)\b|"
    r"who (?:\w+s|can|may|must|should|will|would|do|to)\b(?<!cares)|"
    r"(?:what|how|where|when|which|whom) to \w+|"
    rf"(?:when|where|why)(?:'s|'re| {_AUXILIARY}\b)|how(?:'s| come\b| (?:many|much|long|often|soon|far|old|big|late|"
    rf"early|{_AUXILIARY})\b)|"
    r"(?:in|at|for|with|to|from|by|on|under|until|since|after|before) (?:what|which|whom|whose|when)\b"
    r"(?! (?:it|point|time|case|we|i)\b)|"
    rf"(?:is|are|was|were|does|did|can|could|should|shall|will|would|has|had|am|isn't|aren't|wasn't|doesn't|didn't|"
    rf"can't|couldn't|shouldn't|won't|wouldn't|hasn't) {_SUBJECT}\b|"
    r"(?:do|don't|have|haven't|must|may) (?:i|we|you|they|people|employees|contractors|interns|managers|anybody|anyone|"
    r"somebody|someone|all|\w{3,}ees|\w{3,}ers)\b|"
    r"any(?:body|one)(?: here| else)? (?:know|knows|remember|remembers|has|have|got|seen|aware|able)\b|any idea\b|"
    r"i(?:'d| would) (?:like|love) to know\b|i(?:'m| am)? wonder(?:ing)?\b|i(?:'m| am) looking for\b|"
    r"(?:please |can you |could you )?(?:tell me|let me know|explain)\b.*\b(?:what|which|who|whose|when|where|why|how|"
    r"if|whether)\b"
)
_PERSON = r"(?:je|tu|il|elle|on|nous|vous|ils|elles|l'|le|la|les|un|une|des|mon|ma|mes|notre|nos|tout|toute|tous)"
_MODAL = (
    r"(?:pouv(?:ez|ons)|pourriez|pourrions|av(?:ez|ons)|auriez|aurions|saur?iez|sav(?:ez|ons)|dev(?:ez|ons)|devriez|"
    r"etes|sommes|serait|voulez|voudriez|connaissez|auriez|aurez|aurons|faut|peux|pourrais|as|aurais|sais|saurais|es|"
    r"dois|connais|veux)-(?:nous|vous|tu)\b"
)
_INVERSION = re.compile(
    rf"(?:^|.*[\s'])(?:(?!(?:dit|dis|repond|ajoute|pense|parait|semble)-|(?:dit|repond|ajoute|pense|parait|semble)-t-)"
    rf"\w+(?:-t)?-(?:je|il|elle|on|ils|elles|ce)\b|{_MODAL})"
)
_FRENCH = re.compile(
    r"(?:qu')?est[- ]ce (?:que\b|qu'|qui\b)|(?:.{1,30} )?est-ce qu|"
    r"(?:a|de|dans|pour|depuis|jusqu'a|a partir de|en|sur|avec|chez|par|sous|d'|vers) ?(?:quoi|qui|quels?|quelles?|"
    r"combien|quand|ou|lequel|laquelle|lesquels|lesquelles)\b(?! bien\b)|"
    r"(?:qui|lequel|laquelle|lesquels|lesquelles) (?!vivra\b)\w+|combien\b|comment (?!ca\b)\w+|pourquoi (?!pas\b)\w+|"
    rf"quand (?!{_PERSON}(?: |$))\w+|ou (?:est|sont|se|puis|peut|doit|dois|faut|trouver|trouve|deposer|envoyer|"
    r"adresser|s'adresser|en est|declarer|aller|signaler)\b|"
    r"quel(?:le)?s? (?:est|sont|etait|etaient|sera|seront|serait|doit|peut)\b|"
    r"quel(?:le)?s? .*\b(?:pour|faut|dois|doit|doivent|peut|peuvent|ai|a|as|avons|avez|ont|est|sont|s'applique|"
    r"utiliser|remplir|prendre|choisir|fournir)\b|"
    r"que (?:faire|faut|dit|disent|doit|dois|se passe|prevoit|prevoient|signifie|veut|couvre|comprend|contient|"
    r"devient)\b|quoi faire\b|qu'en est|"
    r"(?:quelqu'un|qqn|personne)(?: ici)? (?:sait|saurait|connait|connaitrait|aurait|a une|peut|pourrait)\b|"
    r"(?:je (?:voudrais|souhaite(?:rais)?|veux)|j'aimerais) savoir\b|je me demand\w+|je (?:cherche|recherche)\b|"
    r"(?:dites|dis|explique[zs]?|indique[zs]?)-(?:moi|nous)\b|une idee\b"
)
_AT_THE_END = re.compile(r".*\b(?:c'est (?:quoi|qui|quand|combien|ou)|on fait comment)\W*$")
_SENTENCE = re.compile(r"[^.!?\n…]+(?:[.!?…](?=\w)[^.!?\n…]*)*[.!?…]*")
_GREETING = re.compile(
    r"(?:(?:hi|hello|hey|good (?:morning|afternoon|evening)|dear|thanks|thank you|please|quick question|question|"
    r"bonjour|bonsoir|salut|coucou|merci|s'il (?:vous|te) plait|svp|stp|petite question|une question)\b"
    r"(?: (?:all|everyone|everybody|team|folks|guys|there|a tous|a toutes|et a toutes|tout le monde|l'equipe))*"
    r"[\s,.!:;-]*)+"
)


def spoken(text: str) -> str:
    """Return what *text*, as Slack writes it, says in words: without code, quotations, addresses and mentions."""
    text = _QUOTED_LINE.sub(" ", _CODE.sub(" ", text[:CHARACTERS_READ]))
    text = _LINK.sub(lambda link: f" {link[1] or ''} ", text)
    text = _EMOJI.sub(" ", _ADDRESS.sub(" ", html.unescape(_PEOPLE.sub(" ", text))))
    return _BLANKS.sub(" ", text).strip()


def is_small_talk(text: str) -> bool:
    """Return whether *text* is a greeting, thanks, a short exclamation, or says nothing at all."""
    folded = even(spoken(text))
    if len(_LETTERS.findall(folded)) > _LONGEST_PLEASANTRY:
        return False
    return all(word in _POLITE for word in _LETTERS.findall(_PHRASES.sub(" ", folded)))


def is_question(text: str) -> bool:
    """Return whether *text* asks something, in English or French, that makes sense by itself."""
    said = spoken(text)
    return not is_small_talk(text) and any(
        _asks(sentence[0].strip()) for sentence in islice(_SENTENCE.finditer(said), SENTENCES_READ)
    )


def _asks(sentence: str) -> bool:
    """Return whether one sentence asks for something that it names."""
    if not content_words(sentence) or is_small_talk(sentence):
        return False
    if sentence.endswith(("?", "?!", "?.")):
        return True
    if sentence.endswith("!"):
        return False
    folded = even(sentence)
    greeting = _GREETING.match(folded)
    rest = sentence[greeting.end() if greeting else 0 :].lstrip(" ,:;-*•")
    body, _ = body_of(rest) if rest else ("", False)
    folded = even(body)
    return any(pattern.match(folded) for pattern in (_ENGLISH, _FRENCH, _INVERSION, _AT_THE_END))


def wants_answer(policy: Policy, incoming: Incoming, *, joined: bool, muted: bool) -> bool:
    """Return whether the bot answers *incoming*: by the channel's policy, where it was not spoken to directly.

    *joined*: the bot takes part in the thread; *muted*: it was told to leave it. Direct messages and commands are
    private and always answered. Nothing that a bot wrote is, and no message that begins with somebody else's name.
    """
    if incoming.kind in {"direct", "command"}:
        return True
    if policy.answers == "off" or incoming.kind not in {"mention", "message"} or _by_a_program(incoming):
        return False
    if incoming.kind == "mention":
        return True
    if muted or _TO_SOMEBODY.match(incoming.text) or is_small_talk(incoming.text):
        return False
    in_thread = bool(incoming.thread_ts) and incoming.thread_ts != incoming.ts
    if policy.answers == "all" or (in_thread and joined):
        return True
    return policy.answers == "questions" and not in_thread and is_question(incoming.text)


def _by_a_program(incoming: Incoming) -> bool:
    payload = incoming.payload
    return not incoming.user_id or bool(payload.get("bot_id")) or payload.get("subtype") == "bot_message"


def check(policy: Policy) -> None:
    """Raise BadRequest unless each word of *policy* is one that there is."""
    for what, word, words in (
        ("answers", policy.answers, ANSWERS),
        ("unknown", policy.unknown, UNKNOWN),
        ("editors", policy.editors, EDITORS),
    ):
        if word not in words:
            raise BadRequest(f"{what} cannot be {word!r}.", remedy=f"Use one of {', '.join(words)}.")
    if len(policy.sources) > MOST_SOURCES:
        raise BadRequest(
            f"{len(policy.sources)} sources are too many for a channel.",
            remedy=f"Name at most {MOST_SOURCES}, or a specialist that is limited to them.",
        )
