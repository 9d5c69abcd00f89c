"""The README names what exists: every module, setting, command and error status."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from app.settings import AppSettings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def project_modules() -> list[str]:
    return sorted(
        str(p.relative_to(ROOT))
        for package in ("app", "indexing")
        for p in (ROOT / package).rglob("*.py")
        if p.name != "__init__.py" or p.parent.name not in {"app", "indexing", "parsing"}
    )


def command_names() -> list[str]:
    import typer.main

    from app.cli import cli

    group = typer.main.get_command(cli)
    commands = getattr(group, "commands", {})
    return sorted(name for name, command in commands.items() if not command.hidden)


@pytest.mark.parametrize("module", project_modules())
def test_every_module_is_in_the_module_map(module):
    assert f"`{module}`" in README


@pytest.mark.parametrize("setting", sorted(AppSettings.model_fields))
def test_every_setting_is_in_the_settings_table(setting):
    field = AppSettings.model_fields[setting]

    assert f"| `METIER_{setting.upper()}` |" in README
    assert field.description
    assert field.description in README


def test_the_settings_table_names_no_setting_that_does_not_exist():
    named = {name.lower() for name in re.findall(r"^\| `METIER_([A-Z_]+)` \|", README, re.MULTILINE)}

    assert named == set(AppSettings.model_fields)


@pytest.mark.parametrize("command", command_names())
def test_every_command_is_named(command):
    assert f"metier {command}" in README


def test_every_error_status_is_named():
    from app.problems import STATUS_OF

    missing = {status for status in STATUS_OF.values() if f"| {int(status)} |" not in README}

    assert missing == set()


def test_the_two_flows_are_told_in_eight_and_nine_steps():
    question = README.split("## What happens to a question")[1].split("\n## ")[0]
    document = README.split("## What happens to a document")[1].split("\n## ")[0]

    assert re.findall(r"^(\d+)\. ", question, re.MULTILINE) == [str(n) for n in range(1, 9)]
    assert re.findall(r"^(\d+)\. ", document, re.MULTILINE) == [str(n) for n in range(1, 10)]


def test_each_step_names_modules_that_exist():
    flows = README.split("## What happens to a question")[1].split("## Module map")[0]
    named = set(re.findall(r"`((?:app|indexing)/[\w/]+\.py)`", flows))

    assert named
    assert {n for n in named if not (ROOT / n).exists()} == set()


def test_every_dependency_says_why_it_is_here():
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    project = tomllib.loads("\n".join(lines))["project"]
    silent = [
        spec
        for spec in project["dependencies"]
        if not any(
            f'"{spec}"' in line and ("#" in line or lines[i - 1].lstrip().startswith("#"))
            for i, line in enumerate(lines)
        )
    ]

    assert silent == []


def test_the_changelog_has_an_open_section():
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
