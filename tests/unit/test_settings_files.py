"""Secrets from files, as containers and systemd hand them over; and never a secret in an error."""

from __future__ import annotations

import pytest

from app.settings import AppSettings
from indexing.errors import SettingsError

CANARY = "canary-4711"


@pytest.fixture
def secrets(tmp_path, monkeypatch):
    """A folder that METIER_SECRETS_DIR names, in a place without a metier.toml."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METIER_SECRETS_DIR", str(folder))
    return folder


def test_a_secret_is_read_from_its_file_without_the_line_break_at_its_end(secrets):
    (secrets / "metier_api_token").write_text(f"{CANARY}\n", encoding="utf-8")
    (secrets / "metier_database_url").write_text(f"postgresql+psycopg://u:{CANARY}@h/d", encoding="utf-8")
    (secrets / "of-another-program").write_text("x", encoding="utf-8")

    found = AppSettings.load()

    assert found.api_token is not None
    assert found.api_token.get_secret_value() == CANARY
    assert found.database == f"postgresql+psycopg://u:{CANARY}@h/d"
    assert CANARY not in f"{found!r} {found} {found.model_dump()}"


def test_a_secret_that_is_a_link_into_its_own_folder_is_read_and_one_that_leads_out_is_not(secrets, tmp_path):
    (secrets / "..data").mkdir()  # as Kubernetes mounts them
    (secrets / "..data" / "metier_api_token").write_text(CANARY, encoding="utf-8")
    (secrets / "metier_api_token").symlink_to("..data/metier_api_token")
    found = AppSettings.load().api_token
    (tmp_path / "elsewhere").write_text(CANARY, encoding="utf-8")
    (secrets / "metier_generator_api_key").symlink_to(tmp_path / "elsewhere")

    assert found is not None
    assert found.get_secret_value() == CANARY
    with pytest.raises(SettingsError, match="outside"):
        AppSettings.load()


def test_the_environment_wins_over_the_file_and_the_file_over_metier_toml(secrets, tmp_path, monkeypatch):
    (tmp_path / "metier.toml").write_text('port = 1\nhost = "::1"\nlog_level = "error"', encoding="utf-8")
    (secrets / "metier_port").write_text("2", encoding="utf-8")
    (secrets / "metier_host").write_text("localhost", encoding="utf-8")
    monkeypatch.setenv("METIER_PORT", "3")

    found = AppSettings.load()

    assert (found.port, found.host, found.log_level) == (3, "localhost", "error")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metier_api_tokn", CANARY.encode()),
        ("metier_port", CANARY.encode()),
        ("metier_api_token", b" \n"),
        ("metier_api_token", b"\xff" + CANARY.encode()),
        ("metier_generator", CANARY.encode()),
    ],
    ids=["typo", "no number", "empty", "no utf-8", "no choice"],
)
def test_a_file_that_cannot_be_used_stops_the_program_and_is_not_repeated(secrets, name, content):
    (secrets / name).write_bytes(content)

    with pytest.raises(SettingsError) as refused:
        AppSettings.load()

    assert CANARY not in str(refused.value)
    assert "metier" in str(refused.value).lower() or "setting" in str(refused.value).lower()


def test_a_folder_that_is_not_there_stops_the_program(secrets, monkeypatch):
    monkeypatch.setenv("METIER_SECRETS_DIR", str(secrets / "nowhere"))

    with pytest.raises(SettingsError, match="nowhere"):
        AppSettings.load()


def test_a_folder_in_the_place_of_a_secret_stops_the_program(secrets):
    (secrets / "metier_api_token").mkdir()

    with pytest.raises(SettingsError, match="metier_api_token"):
        AppSettings.load()


def test_an_empty_token_in_metier_toml_is_no_token_that_anybody_could_send(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "metier.toml").write_text('api_token = ""', encoding="utf-8")

    with pytest.raises(SettingsError, match="api_token"):
        AppSettings.load()
