"""The fakes of the serving package, shipped for its own tests and for yours: generators, and a Slack workspace."""

from __future__ import annotations

from app.testing.generators import (
    CHAT_TEMPLATE,
    MOST_ORDERS,
    NO_SYSTEM_TEMPLATE,
    SENTENCES,
    SHORTEST_STATEMENT,
    ObedientGenerator,
    ScriptedGenerator,
    WordReader,
    build_tiny_llama,
    orders,
)

__all__ = [
    "CHAT_TEMPLATE",
    "MOST_ORDERS",
    "NO_SYSTEM_TEMPLATE",
    "SENTENCES",
    "SHORTEST_STATEMENT",
    "ObedientGenerator",
    "ScriptedGenerator",
    "WordReader",
    "build_tiny_llama",
    "orders",
]
