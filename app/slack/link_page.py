"""The page on which somebody confirms which Slack user they are: no script, every text escaped, in two languages."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Template

    from app.slack.linking import Linkable
    from indexing.principals import PrincipalRecord

#: The page may send its form to us, and nothing else. Its origin is ours, or the session's cookie would not come along.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "sandbox allow-forms allow-same-origin"
)


@dataclass(frozen=True, slots=True)
class LinkWords:
    """One language's wording."""

    language: str
    quoted: str  # a name, in the language's quotation marks
    title: str
    will_read: str
    warning: str
    mine: str
    confirm: str
    done: str
    close: str
    refused: Mapping[str, str]  # by the class of the error
    otherwise: str


ENGLISH = LinkWords(
    language="en",
    quoted="“{}”",
    title="Link your Slack user",
    will_read="The Slack user {user} of the workspace {workspace} will be able to read what you, {principal}, may "
    "read, and will ask in your name.",
    warning="Confirm only if this is your own Slack user and you have just asked for this link there yourself. If "
    "somebody sent it to you, close this page: you would give them your access.",
    mine="{user} is my own Slack user, and I asked for this link in Slack.",
    confirm="Link",
    done="The Slack user {user} of the workspace {workspace} is now {principal}.",
    close="You may close this page.",
    refused={
        "NotFound": "This link is not good, or no longer. Ask for a new one in Slack.",
        "Forbidden": "Only full members of the Slack workspace can be linked.",
        "Conflict": "You are linked to another user of this workspace, or an administrator has linked this one. "
        "Ask your administrator.",
        "BadRequest": "Confirm that this is your own Slack user.",
    },
    otherwise="Slack cannot be asked just now. Try again in a minute.",
)
FRENCH = LinkWords(
    language="fr",
    quoted="«\N{NO-BREAK SPACE}{}\N{NO-BREAK SPACE}»",
    title="Lier votre utilisateur Slack",
    will_read="L’utilisateur Slack {user} de l’espace {workspace} pourra lire ce que vous, {principal}, pouvez lire, "
    "et posera ses questions en votre nom.",
    warning="Ne confirmez que si c’est votre propre utilisateur Slack et si vous venez d’y demander ce lien "
    "vous-même. Si quelqu’un vous l’a envoyé, fermez cette page : vous lui donneriez vos accès.",
    mine="{user} est mon propre utilisateur Slack, et j’ai demandé ce lien dans Slack.",
    confirm="Lier",
    done="L’utilisateur Slack {user} de l’espace {workspace} est désormais {principal}.",
    close="Vous pouvez fermer cette page.",
    refused={
        "NotFound": "Ce lien n’est pas ou plus valable. Demandez-en un nouveau dans Slack.",
        "Forbidden": "Seuls les membres à part entière de l’espace Slack peuvent être liés.",
        "Conflict": "Vous êtes lié à un autre utilisateur de cet espace, ou un administrateur a lié celui-ci. "
        "Adressez-vous à votre administrateur.",
        "BadRequest": "Confirmez que c’est votre propre utilisateur Slack.",
    },
    otherwise="Slack ne répond pas pour l’instant. Réessayez dans une minute.",
)


def words(accepted: str) -> LinkWords:
    """Return the wording for a browser that accepts these languages: French where that comes first."""
    return FRENCH if accepted.strip().lower().startswith("fr") else ENGLISH


def asking(wording: LinkWords, found: Linkable, principal: PrincipalRecord, token: str, csrf: str) -> str:
    """Return the page that asks who signed in to confirm."""
    named = _named(wording, found, principal)
    return _page(
        wording,
        [wording.will_read.format_map(named), wording.warning],
        form={"token": token, "csrf": csrf, "mine": wording.mine.format_map(named)},
    )


def done(wording: LinkWords, found: Linkable, principal: PrincipalRecord) -> str:
    """Return the page that says that it is done."""
    return _page(wording, [wording.done.format_map(_named(wording, found, principal)), wording.close])


def refused(wording: LinkWords, error: Exception) -> str:
    """Return the page that says why nothing was linked."""
    return _page(wording, [wording.refused.get(type(error).__name__, wording.otherwise)])


def _named(wording: LinkWords, found: Linkable, principal: PrincipalRecord) -> dict[str, str]:
    profile = found.profile
    names = (profile.name, found.workspace.name, principal.display)
    name, workspace, person = (wording.quoted.format(visible(each)) for each in names)
    address = f", {profile.email}" if profile.email else ""
    return {"user": f"{name} ({profile.user_id}{address})", "workspace": workspace, "principal": person}


def visible(text: str) -> str:
    """Return *text* without what could make it look like another: controls, directions, invisible signs."""
    return "".join(c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c)[0] != "C")


def _page(wording: LinkWords, paragraphs: list[str], form: Mapping[str, str] | None = None) -> str:
    return _template().render(words=wording, paragraphs=paragraphs, form=form)


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(resources.files("app").joinpath("templates/slack_link.html").read_text("utf-8"))
