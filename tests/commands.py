"""The command line in this process: what a command printed, and how it ended."""

from __future__ import annotations

import io
import sys

from app.cli import main


def commands(tmp_path, monkeypatch, capsys):
    """Return a function that runs one command: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METIER_DATA_DIR", str(tmp_path / "data"))

    def run(*arguments, piped=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(piped))
        capsys.readouterr()
        code: int | str = 0
        try:
            main([str(each) for each in arguments])
        except SystemExit as exc:
            code = exc.code or 0
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
