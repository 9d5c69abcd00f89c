"""What the bot says about channels, about messages that it is asked about and about files; in English and in French."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChannelWording:
    """One language's strings. They hold no markup; ``app.slack.blocks_channel`` fills in and escapes."""

    # the settings of a channel
    title: str
    intro: str
    rights: str
    save: str
    cancel: str
    close: str
    answers_label: str
    answers: dict[str, str]  # by what is stored, from here on
    unknown_label: str
    unknown: dict[str, str]
    specialist_label: str
    specialist_default: str
    specialist_kept: str
    sources_label: str
    sources_all: str
    sources_hint: str
    sources_more: str
    recall_label: str
    recall: str
    editors_label: str
    editors: dict[str, str]
    admins_only: str
    members_only: str
    not_here: str
    too_late: str
    not_saved: str  # {why}
    choice_gone: str
    unchanged: str
    # the note in the channel
    changed: str  # {who}
    changed_specialist: str
    changed_sources: str
    changed_recall: str
    # asking about a message
    about_title: str
    about_ask: str
    about_message: str
    about_question: str
    about_private: str
    about_empty: str


@dataclass(frozen=True, slots=True)
class FilesWording:
    """One language's strings about files; {name} is the file's."""

    read: str
    private: str  # {date}
    link_first: str
    too_many: str  # {most}
    unread: str  # {name} {why}
    too_large: str  # {most}
    too_much: str  # {most}
    too_many_kept: str
    elsewhere: str
    not_fetched: str
    locked: str
    no_text: str
    unknown_format: str
    no_program: str
    too_complex: str
    damaged: str
    not_now: str
    date: str  # for strftime


ENGLISH = ChannelWording(
    title="How I answer here",
    intro="This is how I behave in this channel, whatever it is called.",
    rights="Whatever is chosen here, what I post in a channel is made from what everyone who sees it may read.",
    save="Save",
    cancel="Cancel",
    close="Close",
    answers_label="I answer",
    answers={
        "off": "nothing (only /ask and direct messages)",
        "mention": "when I am mentioned, and in threads I joined",
        "questions": "questions too, without a mention",
        "all": "every message",
    },
    unknown_label="When I do not know",
    unknown={"say": "I say so", "silent": "I stay silent, unless I was asked directly"},
    specialist_label="Specialist",
    specialist_default="The general one",
    specialist_kept="The one chosen before (you may not ask it)",
    sources_label="Sources",
    sources_all="All sources",
    sources_hint="Nothing chosen means all. Sources that you may not read are neither shown nor changed.",
    sources_more="Only the first sources are listed. metier slack channel set can name any.",
    recall_label="Corrections",
    recall="Post a correction in the thread when a document behind an answer changes",
    editors_label="Who may change this",
    editors={"admins": "administrators", "members": "every full member of this channel"},
    admins_only="Only administrators may change how I answer in this channel.",
    members_only="Only members of this channel that I know may change how I answer in it.",
    not_here="Settings are those of a channel. Use /ask settings in one.",
    too_late="That took too long, and Slack opened nothing. Please try again.",
    not_saved="Nothing was changed: {why}",
    choice_gone="the specialist or a source that was chosen is not there any more. Please try again.",
    unchanged="Nothing was changed: everything is as it was.",
    changed="{who} changed how I answer here:",
    changed_specialist="A specialist answers.",
    changed_sources="Only some sources are searched.",
    changed_recall="Corrections are posted when documents change.",
    about_title="Ask about this",
    about_ask="Ask",
    about_message="The message",
    about_question="Your question",
    about_private="Only you see the answer.",
    about_empty="There was no question. Please ask one.",
)
FRENCH = ChannelWording(
    title="Mes réponses ici",
    intro="Voici comment je me comporte dans ce canal, quel que soit son nom.",
    rights="Quel que soit le choix, ce que je publie dans un canal vient de ce que tous ceux qui le voient peuvent "
    "lire.",
    save="Enregistrer",
    cancel="Annuler",
    close="Fermer",
    answers_label="Je réponds",
    answers={
        "off": "à rien (seulement /ask et messages directs)",
        "mention": "quand on me mentionne, et dans mes fils",
        "questions": "aussi aux questions, sans mention",
        "all": "à chaque message",
    },
    unknown_label="Quand je ne sais pas",
    unknown={"say": "je le dis", "silent": "je me tais, sauf si on m’a demandé directement"},
    specialist_label="Spécialiste",
    specialist_default="Le généraliste",
    specialist_kept="Celui choisi avant (il ne vous est pas ouvert)",
    sources_label="Sources",
    sources_all="Toutes les sources",
    sources_hint="Aucun choix veut dire toutes. Les sources que vous ne pouvez pas lire ne sont ni montrées ni "
    "changées.",
    sources_more="Seules les premières sources sont listées. metier slack channel set peut les nommer toutes.",
    recall_label="Corrections",
    recall="Publier une correction dans le fil quand un document d’une réponse change",
    editors_label="Qui peut changer cela",
    editors={"admins": "les administrateurs", "members": "tout membre à part entière de ce canal"},
    admins_only="Seuls les administrateurs peuvent changer ma façon de répondre dans ce canal.",
    members_only="Seuls les membres de ce canal que je connais peuvent y changer ma façon de répondre.",
    not_here="Les réglages sont ceux d’un canal. Utilisez /ask settings dans un canal.",
    too_late="C’était trop long, et Slack n’a rien ouvert. Réessayez.",
    not_saved="Rien n’a été changé : {why}",
    choice_gone="le spécialiste ou une source choisie n’existe plus. Réessayez.",
    unchanged="Rien n’a été changé : tout est comme avant.",
    changed="{who} a changé ma façon de répondre ici :",
    changed_specialist="Un spécialiste répond.",
    changed_sources="Seules certaines sources sont consultées.",
    changed_recall="Des corrections sont publiées quand des documents changent.",
    about_title="Demander à ce sujet",
    about_ask="Demander",
    about_message="Le message",
    about_question="Votre question",
    about_private="Vous seul verrez la réponse.",
    about_empty="Il n’y avait pas de question. Posez-en une.",
)

ENGLISH_FILES = FilesWording(
    read="I have read {name}.",
    private="Ask me about it: only you can. What you gave me is deleted on {date}, or now with /ask forget.",
    link_first="I read files only for people I know, so that nobody else gets to see them. Link your account first: "
    "/ask status tells how. Then send the file again.",
    too_many="I read at most {most} files of a message. Send the others in another one.",
    unread="I could not read {name}: {why}",
    too_large="it has more than {most} MB. Split it, or send only the part that matters.",
    too_much="together your files would have more than {most} MB. Let me forget the others first, with /ask forget.",
    too_many_kept="I keep no more files for one person. Let me forget the others first, with /ask forget.",
    elsewhere="it is not kept by Slack, but by another service. Download it there, and send the file itself.",
    not_fetched="Slack did not give it to me. Try again; if that does not help, tell your administrator.",
    locked="it is protected by a password. Send a copy without one.",
    no_text="there is no text in it. If it is a picture or a scan, send a version with text.",
    unknown_format="I do not know this format. Send it as PDF, Office, HTML or plain text.",
    no_program="this server lacks a program for this format. Send it as PDF, or ask your administrator.",
    too_complex="it takes too long to read. Split it, or send only the part that matters.",
    damaged="it seems to be damaged. Open it in the program that made it, save it again and send that, or a PDF.",
    not_now="I cannot read files at the moment. Please try again later.",
    date="%d %B %Y at %H:%M UTC",
)
FRENCH_FILES = FilesWording(
    read="J’ai lu {name}.",
    private="Interrogez-moi : vous seul le pouvez. Ce que vous m’avez donné est effacé le {date}, ou tout de suite "
    "avec /ask forget.",
    link_first="Je ne lis de fichiers que pour les personnes que je connais, pour que nul autre ne les voie. Liez "
    "d’abord votre compte : /ask status dit comment. Puis renvoyez le fichier.",
    too_many="Je lis au plus {most} fichiers par message. Envoyez les autres dans un autre message.",
    unread="Je n’ai pas pu lire {name} : {why}",
    too_large="il dépasse {most} Mo. Divisez-le, ou n’envoyez que la partie utile.",
    too_much="ensemble, vos fichiers dépasseraient {most} Mo. Faites-moi d’abord oublier les autres, avec /ask forget.",
    too_many_kept="je ne garde pas plus de fichiers par personne. Faites-moi d’abord oublier les autres, avec "
    "/ask forget.",
    elsewhere="il n’est pas chez Slack, mais dans un autre service. Téléchargez-le là-bas, et envoyez le fichier même.",
    not_fetched="Slack ne me l’a pas donné. Réessayez ; si cela ne suffit pas, prévenez votre administrateur.",
    locked="il est protégé par un mot de passe. Envoyez une copie sans mot de passe.",
    no_text="il ne contient pas de texte. Si c’est une image ou un scan, envoyez une version avec du texte.",
    unknown_format="je ne connais pas ce format. Envoyez-le en PDF, Office, HTML ou texte simple.",
    no_program="il manque à ce serveur un programme pour ce format. Envoyez un PDF, ou voyez votre administrateur.",
    too_complex="sa lecture prend trop de temps. Divisez-le, ou n’envoyez que la partie utile.",
    damaged="il semble abîmé. Ouvrez-le dans le programme d’origine, enregistrez-le et renvoyez-le, ou un PDF.",
    not_now="je ne peux pas lire de fichiers en ce moment. Réessayez plus tard.",
    date="%d/%m/%Y à %H:%M UTC",
)


def channel_words(language: str) -> ChannelWording:
    """Return the strings for *language* (ISO 639-1): French for French, English for the rest."""
    return FRENCH if language == "fr" else ENGLISH


def files_words(language: str) -> FilesWording:
    """Return the strings about files for *language*, in the same way."""
    return FRENCH_FILES if language == "fr" else ENGLISH_FILES
