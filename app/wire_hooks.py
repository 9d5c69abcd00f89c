"""What goes over HTTP about hooks. The rules are those of ``app/wire.py``."""

from __future__ import annotations

from app.wire import Wire, example


class HookOut(Wire):
    """The source is synchronised soon, even if this server stops now."""

    model_config = example(accepted=True)

    accepted: bool
