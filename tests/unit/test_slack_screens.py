"""docs/slack.md shows what the code renders."""

from __future__ import annotations

import json
import re

from app.slack.records import Message
from app.testing.slack_blocks import faults
from tests.slack_screens import PAGE, screens, with_screens


def test_the_page_shows_what_is_rendered():
    page = PAGE.read_text(encoding="utf-8")

    assert with_screens(page) == page, "python -m tests.slack_screens writes the page anew"


def test_slack_takes_every_screen():
    assert len(screens()) >= 12
    for screen in screens():
        blocks = screen.shown.blocks if isinstance(screen.shown, Message) else screen.shown.get("blocks", ())
        assert faults([dict(each) for each in blocks], 100) == [], screen.title


def test_every_screen_of_the_page_is_json():
    shown = re.findall(r"^```json\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

    assert len(shown) == len(screens())
    assert all(json.loads(each) for each in shown)
