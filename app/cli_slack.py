"""``metier slack``: the Slack bot."""

from __future__ import annotations

import typer

slack = typer.Typer(help="The Slack bot.", no_args_is_help=True, rich_markup_mode=None)
