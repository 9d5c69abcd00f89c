"""Tests of the log lines that tests read."""

from __future__ import annotations

import structlog

from app.logs import configure


def test_a_line_is_seen_whatever_a_command_before_has_configured(request):
    log = structlog.get_logger("app.of_an_earlier_test")
    configure("error")  # as `metier ask` does, within the process of the tests
    log.error("The logger is cached now.", action="earlier")
    configure("error")

    lines = request.getfixturevalue("log_lines")
    log.warning("Something.", action="now")
    configure("error")
    log.warning("Something else.", action="later")

    assert [line["action"] for line in lines()] == ["now", "later"]
    assert [line["level"] for line in lines()] == ["warning", "warning"]
