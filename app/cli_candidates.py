"""``metier specialist candidates``: what readers and experts said, as lines that a golden set could have."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 -- Typer resolves annotations at run time
from typing import Annotated

import typer

from app.cli_open import local_operator, open_catalog_only


def candidates(
    name: Annotated[str, typer.Argument(help="Name of the specialist; metier is the built-in one.")],
    out: Annotated[Path | None, typer.Option(help="Write the lines to this file, which must not exist yet.")] = None,
) -> None:
    """Print questions that were judged, or answered by an expert, as golden-set lines for a person to review."""
    from app import audit, specialists
    from app.cli_show import remark, say
    from app.errors import BadRequest
    from app.history_candidates import candidate_lines
    from app.history_candidates import candidates as found_of
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog:
        me = local_operator(catalog)
        with catalog.transaction() as session:
            specialists.specialist(session, me, name)
            found = found_of(session, name)
            audit.record(session, LOCAL_PRINCIPAL_ID, "specialist.candidates", name)
    lines = candidate_lines(found)
    if out is None:
        if lines:
            say(lines.rstrip("\n"))
    else:
        try:
            with out.open("x", encoding="utf-8") as file:  # never over one that somebody has reviewed
                file.write(lines)
        except OSError as exc:
            raise BadRequest(f"{out} cannot be written: {exc.strerror}.", remedy="Name a new file.") from exc
    remark(f"{len(found)} candidates. Review them; `metier specialist golden {name} FILE` keeps what is right.")
