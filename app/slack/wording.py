"""What the Slack bot says, in English and in French. Everything else is quoted or generated.

Strings hold no markup; those with ``{names}`` are filled in by ``app.slack.blocks``, which escapes what it fills in.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wording:
    """One language's strings."""

    # while it works
    working: str
    next_in_line: str
    ahead: str  # {count}
    # under an answer
    sources: str
    source_in: str  # {source}
    page: str  # {page}
    more_sources: str  # {count}
    cut: str
    disagree: str
    closest: str
    private: str
    shared_answer: str
    shared_by: str  # {user}: a mention
    confidence: str  # {percent}
    good: str
    bad: str
    human: str
    share: str
    # ages
    today: str
    yesterday: str
    days: str  # {count}, from here on
    one_month: str
    months: str
    one_year: str
    years: str
    # when there is no answer
    failed: str
    withdrawn: str
    no_index: str
    too_long: str
    busy: str
    failed_reference: str  # {answer_id}
    no_rights: str
    # help
    help_title: str
    help_ask: str
    help_direct: str
    help_command: str
    help_words: str
    help_thread: str
    help_rights: str
    # status
    status_title: str
    status_linked: str  # {name}
    status_unlinked: str
    status_outsider: str
    status_documents: str  # {count}
    status_source: str  # {name} {count} {age}
    status_never: str
    status_waiting: str  # {count}
    status_heard: str  # {seconds}
    # why
    why_title: str
    why_none: str
    why_question: str  # {question}
    why_confidence: str  # {percent} {threshold}
    why_searched: str
    why_all: str
    why_public: str
    why_channel: str
    why_passages: str
    why_reader: str
    why_model: str  # {generator}
    # short notices
    forgotten: str  # {answers}
    muted: str
    muted_all: str
    unmuted_all: str
    shared: str
    not_yours: str
    thanks: str
    link: str  # {minutes}
    link_button: str
    # prompts
    prompts_title: str
    prompt_about: str  # {title}
    prompt_first: str
    prompt_second: str
    prompt_third: str
    prompt_fourth: str


ENGLISH = Wording(
    working="is looking into the documents…",
    next_in_line="Your question is next.",
    ahead="{count} questions are ahead of yours.",
    sources="Sources",
    source_in="in {source}",
    page="page {page}",
    more_sources="and {count} more",
    cut="The answer is longer than what fits here: the rest is left out.",
    disagree="The documents disagree. Check which one holds before you rely on either.",
    closest="The closest passages",
    private="Only you see this. It may be made from documents that others here may not read.",
    shared_by="{user} shared this question.",
    shared_answer="Shared from a private question, and made anew from what everyone here may read.",
    confidence="Estimated probability that this is right: {percent}.",
    good="Good answer",
    bad="Bad answer",
    human="Ask a human",
    share="Share in this channel",
    today="from today",
    yesterday="from yesterday",
    days="{count} days old",
    one_month="1 month old",
    months="{count} months old",
    one_year="1 year old",
    years="{count} years old",
    failed="The answer could not be finished. Please ask again in a moment.",
    withdrawn="A document behind this answer changed, or may no longer be read, meanwhile. Please ask again.",
    no_index="There are no documents for you yet. Ask your administrator which ones you may read.",
    too_long="The question is too long. Please ask a shorter one.",
    busy="Too many questions at the moment. Please ask again in a moment.",
    failed_reference="Reference for your administrator: {answer_id}",
    no_rights="In this place I only answer members of this workspace.",
    help_title="How to ask",
    help_ask="Mention me in a channel: everyone sees the answer, made from what everyone there may read.",
    help_direct="Write to me directly: the answer is made from what you may read.",
    help_command="/ask and a question: only you see the answer, and you may share it.",
    help_words="/ask status: how I am. /ask why: how the last answer came about. /ask forget: I forget what we said.",
    help_thread="In a thread that I answered in, ask on without a mention. “mute” makes me leave it.",
    help_rights="Nobody gets to read more through me than their own rights allow.",
    status_title="Status",
    status_linked="I know you as {name}: direct answers use your rights.",
    status_unlinked="I do not know who you are yet: you get what everyone may read.",
    status_outsider="You are a guest here: you get what this workspace gives to guests.",
    status_documents="You may read {count} documents.",
    status_source="{name}: {count} documents, {age}",
    status_never="not read to its end yet",
    status_waiting="Questions waiting: {count}",
    status_heard="Slack was last heard {seconds} seconds ago.",
    why_title="How this answer came about",
    why_none="There is no answer of mine here yet.",
    why_question="Searched for: {question}",
    why_confidence="Estimated probability that it is right: {percent} (I answer from {threshold} on)",
    why_searched="Searched in",
    why_all="everything that you may read",
    why_public="what everyone may read, because others see the answer",
    why_channel="what everyone in this channel may read, because they see the answer",
    why_passages="Passages that it is made from",
    why_reader="The sentences are the documents’ own.",
    why_model="Written by {generator}; a sentence that no passage supports is left out.",
    forgotten="Forgotten: what you asked me in Slack, and my {answers} answers.",
    muted="I leave this thread. Mention me and I am back.",
    muted_all="In the threads of this channel I only answer when somebody mentions me.",
    unmuted_all="I take part again in the threads of this channel.",
    shared="Shared in this channel.",
    not_yours="Only who asked may do that.",
    thanks="Thank you. This helps to make the answers better.",
    link="Sign in to tell me who you are: then direct answers use your own rights. The link is for you alone and works "
    "for {minutes} minutes.",
    link_button="Sign in",
    prompts_title="What would you like to know?",
    prompt_about="What does “{title}” say?",
    prompt_first="How many days of paid leave do we have?",
    prompt_second="How do I get my expenses paid back?",
    prompt_third="What do I do when I am ill?",
    prompt_fourth="Who approves a purchase?",
)
FRENCH = Wording(
    working="consulte les documents…",
    next_in_line="Votre question est la suivante.",
    ahead="{count} questions passent avant la vôtre.",
    sources="Sources",
    source_in="dans {source}",
    page="page {page}",
    more_sources="et {count} de plus",
    cut="La réponse est plus longue que ce qui tient ici : la suite est omise.",
    disagree="Les documents se contredisent. Vérifiez lequel fait foi avant de vous appuyer sur l’un d’eux.",
    closest="Les passages les plus proches",
    private="Vous seul voyez ceci. La réponse peut venir de documents que d’autres ici ne peuvent pas lire.",
    shared_by="{user} a partagé cette question.",
    shared_answer="Partagé depuis une question privée, et refait d’après ce que tous peuvent lire ici.",
    confidence="Probabilité estimée que ce soit juste : {percent}.",
    good="Bonne réponse",
    bad="Mauvaise réponse",
    human="Demander à quelqu’un",
    share="Partager dans ce canal",
    today="d’aujourd’hui",
    yesterday="d’hier",
    days="il y a {count} jours",
    one_month="il y a 1 mois",
    months="il y a {count} mois",
    one_year="il y a 1 an",
    years="il y a {count} ans",
    failed="La réponse n’a pas pu être terminée. Reposez la question dans un instant.",
    withdrawn="Un document de cette réponse a changé, ou ne peut plus être lu, pendant la rédaction. Reposez la "
    "question.",
    no_index="Il n’y a pas encore de documents pour vous. Demandez à votre administrateur lesquels vous pouvez lire.",
    too_long="La question est trop longue. Posez-en une plus courte.",
    busy="Trop de questions en ce moment. Reposez la vôtre dans un instant.",
    failed_reference="Référence pour votre administrateur : {answer_id}",
    no_rights="Ici, je ne réponds qu’aux membres de cet espace de travail.",
    help_title="Comment demander",
    help_ask="Mentionnez-moi dans un canal : tous voient la réponse, tirée de ce que tous peuvent y lire.",
    help_direct="Écrivez-moi directement : la réponse vient de ce que vous pouvez lire.",
    help_command="/ask et une question : vous seul voyez la réponse, et vous pouvez la partager.",
    help_words="/ask status : comment je vais. /ask why : d’où vient la dernière réponse. /ask forget : j’oublie nos "
    "échanges.",
    help_thread="Dans un fil où j’ai répondu, continuez sans me mentionner. « mute » me fait quitter le fil.",
    help_rights="Personne ne lit par mon entremise plus que ses propres droits ne le permettent.",
    status_title="État",
    status_linked="Je vous connais comme {name} : les réponses directes utilisent vos droits.",
    status_unlinked="Je ne sais pas encore qui vous êtes : vous obtenez ce que tous peuvent lire.",
    status_outsider="Vous êtes invité ici : vous obtenez ce que cet espace de travail donne aux invités.",
    status_documents="Vous pouvez lire {count} documents.",
    status_source="{name} : {count} documents, {age}",
    status_never="pas encore lu jusqu’au bout",
    status_waiting="Questions en attente : {count}",
    status_heard="Dernier signe de Slack : il y a {seconds} secondes.",
    why_title="D’où vient cette réponse",
    why_none="Il n’y a pas encore de réponse de ma part ici.",
    why_question="Recherché : {question}",
    why_confidence="Probabilité estimée qu’elle soit juste : {percent} (je réponds à partir de {threshold})",
    why_searched="Recherché dans",
    why_all="tout ce que vous pouvez lire",
    why_public="ce que tous peuvent lire, parce que d’autres voient la réponse",
    why_channel="ce que tous dans ce canal peuvent lire, parce qu’ils voient la réponse",
    why_passages="Passages dont elle est tirée",
    why_reader="Les phrases sont celles des documents.",
    why_model="Rédigé par {generator} ; une phrase qu’aucun passage n’appuie est omise.",
    forgotten="Oublié : ce que vous m’avez demandé dans Slack, et mes {answers} réponses.",
    muted="Je quitte ce fil. Mentionnez-moi et je reviens.",
    muted_all="Dans les fils de ce canal, je ne réponds plus que si l’on me mentionne.",
    unmuted_all="Je participe de nouveau aux fils de ce canal.",
    shared="Partagé dans ce canal.",
    not_yours="Seule la personne qui a demandé peut faire cela.",
    thanks="Merci. Cela aide à améliorer les réponses.",
    link="Connectez-vous pour me dire qui vous êtes : les réponses directes utiliseront vos propres droits. Le lien "
    "est pour vous seul et vaut {minutes} minutes.",
    link_button="Se connecter",
    prompts_title="Que voulez-vous savoir ?",
    prompt_about="Que dit « {title} » ?",
    prompt_first="Combien de jours de congés payés avons-nous ?",
    prompt_second="Comment me faire rembourser mes frais ?",
    prompt_third="Que faire quand je suis malade ?",
    prompt_fourth="Qui approuve un achat ?",
)


def words(language: str) -> Wording:
    """Return the strings for *language* (ISO 639-1): French for French, English for the rest."""
    return FRENCH if language == "fr" else ENGLISH
