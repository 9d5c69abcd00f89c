"""docs/slack.md shows what the code renders."""

from __future__ import annotations

import json
import re
from pathlib import Path

from app.slack import blocks, digests
from app.slack.records import Message
from app.testing.slack_blocks import faults
from tests import slack_screens
from tests.slack_screens import PAGE, screens, with_screens


def test_the_page_shows_what_is_rendered():
    page = PAGE.read_text(encoding="utf-8")

    assert with_screens(page) == page, "python -m tests.slack_screens writes the page anew"


def test_every_kind_of_message_and_form_that_the_code_makes_has_a_screen():
    kinds = re.compile(r"^def ([a-z]\w+_(?:message|form|view))\(", re.MULTILINE)
    modules = [*Path(blocks.__file__).parent.glob("blocks*.py"), Path(digests.__file__)]
    made = {name for module in modules for name in kinds.findall(module.read_text(encoding="utf-8"))}
    shown = set(re.findall(r"\b\w+_(?:message|form|view)\b", Path(slack_screens.__file__).read_text(encoding="utf-8")))

    assert made - shown == {"waiting_view", "refusal_view"}  # a form before it is there, and in place of one


def test_slack_takes_every_screen():
    assert len(screens()) >= 12
    for screen in screens():
        blocks = screen.shown.blocks if isinstance(screen.shown, Message) else screen.shown.get("blocks", ())
        assert faults([dict(each) for each in blocks], 100) == [], screen.title


def test_every_screen_of_the_page_is_json():
    shown = re.findall(r"^```json\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

    assert len(shown) == len(screens())
    assert all(json.loads(each) for each in shown)
