"""What the bot says about feedback, about asking a human, and in its weekly digest; in English and in French."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PeopleWording:
    """One language's wording."""

    # feedback
    thanks: str
    not_here: str
    why_title: str
    why_label: str
    why_intro: str
    reasons: dict[str, str]  # by what is stored
    comment_label: str
    send: str
    cancel: str
    # asking a human
    asked: str
    asked_already: str
    nobody: str
    members_only: str
    ping: str
    direct_ask: str
    bot_said: str
    bot_said_nothing: str
    bot_hidden: str
    reply: str
    # replying
    not_owner: str
    not_there: str
    press_again: str
    already_replied: str
    already_decided: str
    reply_title: str
    question_label: str
    reply_label: str
    sources_label: str
    sources_hint: str
    valid_label: str
    days: dict[int, str]
    offer: str
    use_reply: str
    # approving
    proposed: str
    proposed_by_you: str
    sent_to: str
    publish_all: str
    publish_asker: str
    refuse: str
    refused: str
    refused_done: str
    other_approves: str
    approving_failed: str
    approved_done: str
    source_not_added: str
    withdraw: str
    withdrawn: str
    withdrawn_there: str
    published: str
    reviewed: str
    sources: str
    answer_source: str
    # expiring
    expired: str
    renew: str
    # weekly
    weekly: str
    weekly_line: str
    weekly_more: str
    weekly_why: str


ENGLISH = PeopleWording(
    thanks="Thank you, your judgement is stored.",
    not_here="That answer is not kept any more, or was not given here.",
    why_title="What is wrong?",
    why_label="Reason",
    why_intro="Thank you, your judgement is stored. A reason helps those who look after the answers.",
    reasons={
        "wrong": "It is wrong",
        "outdated": "It is outdated",
        "incomplete": "Something is missing",
        "wrong_source": "It rests on the wrong source",
        "should_not_answer": "It should have said that it does not know",
        "should_answer": "It should have known",
        "other": "Something else",
    },
    comment_label="What would be right? (optional)",
    send="Send",
    cancel="Cancel",
    asked="I have asked {names}. The answer comes here when there is one.",
    asked_already="Somebody has been asked already. The answer comes here when there is one.",
    nobody="Nobody who looks after these answers can be reached in Slack. Please ask your administrator.",
    members_only="Only members of this workspace can ask a human.",
    ping="{mentions} Can one of you help with this question? Reply here, or with the button that I sent to you.",
    direct_ask="Somebody asks for a human's answer to this question, which was asked of “{specialist}”:",
    bot_said="The automatic answer was:",
    bot_said_nothing="There was no automatic answer.",
    bot_hidden="The automatic answer is not shown: it quotes documents that you may not read.",
    reply="Reply",
    not_owner="Only those who look after “{specialist}” can do this.",
    not_there="This question is not open any more.",
    press_again="That took too long. Please press the button again.",
    already_replied="Somebody else was quicker: {name} has replied to this question.",
    already_decided="This reply has been decided on already.",
    reply_title="Reviewed answer",
    question_label="Question",
    reply_label="Answer",
    sources_label="Sources (optional)",
    sources_hint="Names or addresses of documents, one a line. They are shown as text.",
    valid_label="Valid for",
    days={30: "30 days", 90: "90 days", 180: "180 days", 365: "a year"},
    offer="Use your reply as a reviewed answer? It is shown for approval first.",
    use_reply="Use my reply",
    proposed="{name} proposes this answer. Once it is published it is found and quoted like a document.",
    proposed_by_you="This is your answer; nobody else looks after “{specialist}”. "
    "Once you publish it, it is found and quoted like a document.",
    sent_to="Thank you. Your answer waits for approval by {names}.",
    publish_all="Publish for all who may ask",
    publish_asker="Publish for who asked",
    refuse="Refuse",
    refused="Your answer to “{question}” was refused. You can reply again.",
    refused_done="Refused. The writer has been told.",
    other_approves="Somebody else has to approve what you wrote.",
    approving_failed="It could not be published: {why}",
    approved_done="Published, valid until {date}.",
    source_not_added="It is not found yet: “{specialist}” does not answer from {source}. Ask an operator.",
    withdraw="Withdraw",
    withdrawn="Withdrawn. It is not found or quoted any more.",
    withdrawn_there="The reviewed answer to “{question}” has been withdrawn: do not rely on it.",
    published="{name} has answered this question:",
    reviewed="Reviewed by {name} on {on}, valid until {until}.",
    sources="Sources:",
    answer_source="Source: {link}",
    expired="This reviewed answer has expired and is not quoted any more:",
    renew="Renew",
    weekly="*Questions of last week that “{specialist}” did not answer well*",
    weekly_line="• {question} ({count})",
    weekly_more="… and {count} more",
    weekly_why="You get this because you look after “{specialist}”. It does not say who asked.",
)
FRENCH = PeopleWording(
    thanks="Merci, votre avis est enregistré.",
    not_here="Cette réponse n’est plus conservée, ou n’a pas été donnée ici.",
    why_title="Qu’est-ce qui ne va pas ?",
    why_label="Raison",
    why_intro="Merci, votre avis est enregistré. Une raison aide ceux qui veillent sur les réponses.",
    reasons={
        "wrong": "Elle est fausse",
        "outdated": "Elle est périmée",
        "incomplete": "Il manque quelque chose",
        "wrong_source": "Elle s’appuie sur la mauvaise source",
        "should_not_answer": "Elle aurait dû dire qu’elle ne sait pas",
        "should_answer": "Elle aurait dû savoir",
        "other": "Autre chose",
    },
    comment_label="Quelle serait la bonne réponse ? (facultatif)",
    send="Envoyer",
    cancel="Annuler",
    asked="J’ai demandé à {names}. La réponse viendra ici.",
    asked_already="Quelqu’un a déjà été sollicité. La réponse viendra ici.",
    nobody="Aucune des personnes qui veillent sur ces réponses n’est joignable dans Slack. "
    "Adressez-vous à votre administrateur.",
    members_only="Seuls les membres de cet espace de travail peuvent demander à un humain.",
    ping="{mentions} L’un de vous peut-il aider à répondre à cette question ? Répondez ici, ou avec le bouton que je "
    "vous ai envoyé.",
    direct_ask="Quelqu’un souhaite la réponse d’un humain à cette question, posée à « {specialist} » :",
    bot_said="La réponse automatique était :",
    bot_said_nothing="Il n’y a pas eu de réponse automatique.",
    bot_hidden="La réponse automatique n’est pas montrée : elle cite des documents que vous ne pouvez pas lire.",
    reply="Répondre",
    not_owner="Seuls ceux qui veillent sur « {specialist} » peuvent faire cela.",
    not_there="Cette question n’est plus ouverte.",
    press_again="Cela a pris trop de temps. Veuillez appuyer de nouveau sur le bouton.",
    already_replied="Quelqu’un a été plus rapide : {name} a répondu à cette question.",
    already_decided="Cette réponse a déjà fait l’objet d’une décision.",
    reply_title="Réponse relue",
    question_label="Question",
    reply_label="Réponse",
    sources_label="Sources (facultatif)",
    sources_hint="Noms ou adresses de documents, un par ligne. Ils sont montrés comme du texte.",
    valid_label="Valable",
    days={30: "30 jours", 90: "90 jours", 180: "180 jours", 365: "un an"},
    offer="Utiliser votre réponse comme réponse relue ? Elle est d’abord soumise à approbation.",
    use_reply="Utiliser ma réponse",
    proposed="{name} propose cette réponse. Une fois publiée, elle est trouvée et citée comme un document.",
    proposed_by_you="C’est votre réponse ; personne d’autre ne veille sur « {specialist} ». "
    "Une fois que vous la publiez, elle est trouvée et citée comme un document.",
    sent_to="Merci. Votre réponse attend l’approbation de {names}.",
    publish_all="Publier pour tous ceux qui ont accès",
    publish_asker="Publier pour qui a demandé",
    refuse="Refuser",
    refused="Votre réponse à « {question} » a été refusée. Vous pouvez répondre de nouveau.",
    refused_done="Refusée. L’auteur en est informé.",
    other_approves="Quelqu’un d’autre doit approuver ce que vous avez écrit.",
    approving_failed="La publication a échoué : {why}",
    approved_done="Publiée, valable jusqu’au {date}.",
    source_not_added="Elle n’est pas encore trouvée : « {specialist} » ne répond pas à partir de {source}. "
    "Adressez-vous à un opérateur.",
    withdraw="Retirer",
    withdrawn="Retirée. Elle n’est plus trouvée ni citée.",
    withdrawn_there="La réponse relue à « {question} » a été retirée : ne vous y fiez pas.",
    published="{name} a répondu à cette question :",
    reviewed="Relu par {name} le {on}, valable jusqu’au {until}.",
    sources="Sources :",
    answer_source="Source : {link}",
    expired="Cette réponse relue a expiré et n’est plus citée :",
    renew="Renouveler",
    weekly="*Questions de la semaine passée auxquelles « {specialist} » n’a pas bien répondu*",
    weekly_line="• {question} ({count})",
    weekly_more="… et {count} autres",
    weekly_why="Vous recevez ce message parce que vous veillez sur « {specialist} ». Il ne dit pas qui a demandé.",
)


def people_words(language: str) -> PeopleWording:
    """Return the wording in *language* (ISO 639-1): French for French, English for the rest."""
    return FRENCH if language == "fr" else ENGLISH
