"""What the command line prints."""

from __future__ import annotations

import json

from app.cli_show import clean, print_json, run_progress, say, table
from indexing.documents import Failure, Progress


def test_a_document_cannot_move_the_cursor_or_rename_the_window():
    hostile = "a\x1b[2Jb\x1b]0;owned\x07c\rd\u202ee\x9b31m"

    assert clean(hostile) == "a[2Jb]0;ownedcde31m"


def test_line_breaks_accents_and_french_spaces_stay():
    assert clean("é\tœ\n« 25 » à 10\u202f%") == "é\tœ\n« 25 » à 10\u202f%"


def test_text_in_square_brackets_is_no_markup(capsys):
    say("[bold]x[/bold] [1]")

    assert capsys.readouterr().out == "[bold]x[/bold] [1]\n"


def test_records_are_printed_as_json(capsys):
    print_json([Failure("a.pdf", "parse", "é", "…")])

    assert json.loads(capsys.readouterr().out)[0]["reason"] == "é"


def test_a_table_in_a_pipe_is_not_cut(capsys):
    table(("name", "text"), [("x" * 150, "y" * 150)], empty="none")

    assert "x" * 150 + "  " + "y" * 150 in capsys.readouterr().out


def test_an_empty_table_is_a_remark(capsys):
    table(("name",), [], empty="Nothing here.")

    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "Nothing here.\n")


def test_progress_without_a_terminal_is_plain_lines_at_most(capsys):
    with run_progress("handbook") as show:
        show(Progress("read", 1, 10, "a.md"))

    assert "\x1b" not in capsys.readouterr().err


def test_json_on_a_terminal_moves_no_cursor_and_hides_nothing(capsys):
    hostile = "a\x9b31m\u202eb\u200bc\x7f\U000e0041 é\u2028"
    print_json({"title": hostile})
    printed = capsys.readouterr().out

    assert json.loads(printed)["title"] == hostile
    assert clean(printed) == printed
