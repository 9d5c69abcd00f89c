"""Both transports against a Slack on loopback: nothing is lost, nothing is done twice, whatever the connection does."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
import yaml

from app.cli import main
from app.errors import SlackError
from app.slack import connecting, store_workspaces
from app.slack.client import Slack
from app.slack.running import Pace
from app.testing.slack import FakeSlack
from indexing import db
from indexing.secrets import store_secret
from tests import slacks
from tests.faces import wait_until
from tests.slacks import JOB, Notes, jobs

pytestmark = [pytest.mark.network, pytest.mark.timeout(120)]
IMPATIENT = Pace(lease=5, silent=1.2, ping=0.4, look=0.2, periodic=30)


@pytest.fixture
def slack():
    with FakeSlack(yaml.safe_load(connecting.manifest()), ack_within_s=1.5) as fake:
        yield fake


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def ann(slack):
    return slack.add_user("ann", "ann@corp.com")


@pytest.fixture
def channel(slack, ann):
    return slack.add_channel("general", members=[ann, slack.bot_user_id])


@pytest.fixture
def catalog(sqlite_url):
    opened = db.open_catalog(sqlite_url)
    yield opened
    opened.close()


def ask(slack, ann, channel, number):
    slack.say(ann, channel, f"<@{slack.bot_user_id}> question {number}?")


def questions(notes):
    return sorted(job.incoming.text for job in notes.handled)


def expected(*numbers):
    return sorted(f"question {number}?" for number in numbers)


def socket_of(running, slack) -> Any:
    return running.bots[slack.team_id].socket


def test_a_question_is_acknowledged_when_it_is_stored_and_done_once(settings, sqlite_url, slack, notes, ann, channel):
    with slacks.replicas(settings(), notes, slacks.installed(slack)):
        wait_until(lambda: slack.connections == 1)
        ask(slack, ann, channel, 1)
        slack.say(ann, slack.direct(ann), "directly?")
        command = slack.command(ann, channel, "/ask", "by command?")

        wait_until(lambda: len(notes.handled) == 3)
        wait_until(lambda: command.acked)

    assert questions(notes) == ["by command?", "directly?", "question 1?"]
    assert {job.incoming.kind for job in notes.handled} == {"mention", "direct", "command"}
    assert slack.lost == []
    assert all(each.acked for each in slack.deliveries)


def test_of_three_replicas_told_three_times_one_does_it(settings, sqlite_url, catalog, slack, notes, ann, channel):
    slack.duplicate(3)
    with slacks.replicas(settings(), notes, slacks.installed(slack), count=3):
        wait_until(lambda: slack.connections == 3)
        for number in range(10):
            ask(slack, ann, channel, number)
        wait_until(lambda: len(notes.handled) >= 10)
        wait_until(lambda: {row.state for row in jobs(catalog, JOB.c.state)} == {"done"})
        time.sleep(0.3)

    assert questions(notes) == expected(*range(10))
    assert len({each.line for each in slack.deliveries}) == 3
    assert len(slack.deliveries) >= 60  # as app_mention and as message, three times each
    assert slack.lost == []


@pytest.mark.parametrize("trouble", ["refresh_requested", "cut", "warning"])
def test_a_connection_that_ends_is_made_anew_and_loses_nothing(
    settings, sqlite_url, slack, notes, ann, channel, trouble
):
    with slacks.replicas(settings(), notes, slacks.installed(slack), pace=IMPATIENT):
        wait_until(lambda: slack.connections == 1)
        ask(slack, ann, channel, 1)
        if trouble == "cut":
            slack.cut()
        else:
            slack.disconnect(trouble)
        ask(slack, ann, channel, 2)
        time.sleep(0.6)
        ask(slack, ann, channel, 3)
        wait_until(lambda: questions(notes) == expected(1, 2, 3))
        wait_until(lambda: slack.connections >= 1)
        time.sleep(0.3)

    assert questions(notes) == expected(1, 2, 3)
    assert slack.lost == []


def test_a_silent_socket_is_replaced(settings, sqlite_url, slack, notes, ann, channel, log_lines):
    slow_pings = Pace(lease=5, silent=1.2, ping=0.8, look=0.2, periodic=30)
    with slacks.replicas(settings(), notes, slacks.installed(slack), pace=slow_pings) as (running,):
        wait_until(lambda: slack.connections == 1 and socket_of(running, slack).trouble == "")
        time.sleep(2.0)
        assert socket_of(running, slack).opened == 1  # pongs alone keep it
        slack.silence()
        ask(slack, ann, channel, 1)
        wait_until(lambda: questions(notes) == expected(1))
        wait_until(lambda: socket_of(running, slack).opened == 2)

    assert any(line["action"] == "slack_socket_silent" for line in log_lines())
    assert slack.lost == []


def test_socket_mode_that_was_turned_off_is_told_and_comes_back(
    settings, metier, slack, notes, ann, channel, log_lines
):
    with slacks.replicas(settings(), notes, slacks.installed(slack), pace=IMPATIENT) as (running,):
        wait_until(lambda: slack.connections == 1)
        slack.disconnect("link_disabled")
        wait_until(lambda: any(line["action"] == "slack_link_disabled" for line in log_lines()))
        wait_until(lambda: slack.connections == 0)
        assert socket_of(running, slack).trouble != ""
        code, out, _ = metier("status")
        assert (code, "NOT SERVED" in out) == (1, True)

        slack.options.link_enabled = True
        wait_until(lambda: slack.connections == 1)
        ask(slack, ann, channel, 1)
        wait_until(lambda: questions(notes) == expected(1))
        assert socket_of(running, slack).trouble == ""


def test_what_is_said_while_no_server_runs_is_done_by_the_next(settings, sqlite_url, slack, notes, ann, channel):
    with slacks.replicas(settings(), notes, slacks.installed(slack)):
        wait_until(lambda: slack.connections == 1)
        ask(slack, ann, channel, 1)
        wait_until(lambda: notes.handled)
    ask(slack, ann, channel, 2)

    with slacks.replicas(settings(), notes, slacks.installed(slack)):
        wait_until(lambda: questions(notes) == expected(1, 2))

    assert slack.lost == []


def test_what_cannot_be_stored_is_not_acknowledged_and_comes_again(
    settings, sqlite_url, catalog, slack, notes, ann, channel
):
    with slacks.replicas(settings(), notes, slacks.installed(slack)):
        wait_until(lambda: slack.connections == 1)
        rename(catalog, "slack_job", "away")
        ask(slack, ann, channel, 1)
        wait_until(lambda: len(slack.deliveries) >= 3)
        assert not any(each.acked for each in slack.deliveries)
        rename(catalog, "away", "slack_job")
        wait_until(lambda: questions(notes) == expected(1))


def rename(catalog, table, new):
    with catalog.transaction() as session:
        session.connection().exec_driver_sql(f"ALTER TABLE {table} RENAME TO {new}")


def test_events_commands_and_clicks_come_over_http_and_again_after_a_failure(
    settings, sqlite_url, catalog, slack, notes, ann, channel
):
    with slacks.listening(settings(port=0), notes, slacks.installed(slack, "http")) as address:
        url = f"{address}/slack/events"
        assert slack.verify_url(url)
        slack.deliver_to(url, url, url)
        ask(slack, ann, channel, 1)
        command = slack.command(ann, channel, "/ask", "by command?")
        wait_until(lambda: len(notes.handled) == 2)
        assert command.acked
        assert command.answer == {}

        rename(catalog, "slack_job", "away")
        ask(slack, ann, channel, 2)
        wait_until(lambda: any(each.status == 500 for each in slack.deliveries))
        rename(catalog, "away", "slack_job")
        wait_until(lambda: len(notes.handled) == 3)
        # A mention is two events, and the one that came second may still have to come again.
        wait_until(lambda: {each.event_id for each in slack.deliveries if not each.acked} <= acknowledged(slack))

    assert questions(notes) == ["by command?", *expected(1, 2)]
    assert slack.lost == []


def acknowledged(slack):
    return {each.event_id for each in slack.deliveries if each.acked}


def test_calls_are_counted_by_how_they_end(slack):
    counted: list[str] = []
    api = Slack(slack.bot_token, slack.api_url, counted.append)
    slack.rate_limit("auth.test", 0)

    assert api.identity().team_id == slack.team_id
    slack.revoke()
    with pytest.raises(SlackError) as refused:
        api.call("auth.test")

    assert refused.value.code in ("token_revoked", "invalid_auth", "account_inactive")
    assert counted == ["rate_limited", "ok", "refused"]


# --- a process that is killed ---------------------------------------------------------------------------------


@contextlib.contextmanager
def replica(url, folder, lease_s=2.0):
    command = [sys.executable, "-m", "tests.slack_replica", url, str(folder), str(lease_s)]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_question_that_was_acknowledged_is_answered_once_whoever_is_killed(
    catalog_url, tmp_path, slack, ann, channel
):
    where = slacks.installed(slack)
    with contextlib.closing(db.open_catalog(catalog_url)) as catalog:
        with catalog.transaction() as session:
            store_workspaces.connect(session, where)
        for name, secret in slacks.secrets_of(where).items():
            store_secret(tmp_path, name.replace("_", "-"), secret)
        with replica(catalog_url, tmp_path) as first:
            wait_until(lambda: slack.connections == 1)
            for number in range(4):  # two are begun, two wait
                ask(slack, ann, channel, number)
            wait_until(lambda: len(jobs(catalog)) == 4 and all(each.acked for each in slack.deliveries))
            wait_until(lambda: len(list(tmp_path.glob("begun-*"))) == 2)
            first.send_signal(signal.SIGKILL)
            first.wait()
        assert replies(slack, channel) == []
        (tmp_path / "go").touch()
        with replica(catalog_url, tmp_path):
            wait_until(lambda: {row.state for row in jobs(catalog)} == {"done"})
            time.sleep(0.5)

    assert replies(slack, channel) == [f"answer to question {number}?" for number in range(4)]


def replies(slack, channel):
    return sorted(each.text for each in slack.replies(channel))


# --- the command ----------------------------------------------------------------------------------------------


@pytest.fixture
def metier(settings, sqlite_url, monkeypatch, capsys):
    data_dir = settings().data_dir
    monkeypatch.setenv("METIER_DATA_DIR", str(data_dir))

    def run(*arguments: str, **secrets: str) -> Any:
        for name, secret in secrets.items():
            store_secret(data_dir, name.replace("_", "-"), secret)
        code = 0
        try:
            main(["slack", *arguments])
        except SystemExit as exc:
            code = int(exc.code or 0)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_a_workspace_is_connected_shown_and_disconnected(metier, slack, catalog):
    tokens = {"slack_bot": slack.bot_token, "slack_app": slack.app_token}

    code, _, told = metier("connect", "--domain", "Corp.com", "--api-url", slack.api_url, **tokens)
    assert (code, f"({slack.team_id})" in told) == (0, True)
    with catalog.reading() as session:
        (found,) = store_workspaces.workspaces(session)
    assert found.app_id == slack.app_id
    assert (found.bot_user_id, found.domains, found.outsiders) == (slack.bot_user_id, ("corp.com",), "nothing")
    code, out, _ = metier("status", "--json")
    assert (code, json.loads(out)[0]["trouble"]) == (0, None)
    assert metier("connect", "--outsiders", "public", "--api-url", slack.api_url)[0] == 0

    slack.revoke()
    code, out, _ = metier("status")
    assert (code, "NOT SERVED" in out) == (1, True)
    assert metier("disconnect", slack.team_id)[0] == 0
    assert metier("disconnect", slack.team_id)[0] == 1
    assert metier("status")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "secrets", "told"),
    [
        ([], {}, "There is no secret called slack-bot"),
        ([], {"slack_bot": "BOT"}, "There is no secret called slack-app"),
        (["--transport", "http"], {"slack_bot": "BOT"}, "There is no secret called slack-signing"),
        ([], {"slack_bot": "APP", "slack_app": "BOT"}, "does not hold the Bot User OAuth Token"),
        ([], {"slack_bot": "xoxb-wrong", "slack_app": "APP"}, "invalid_auth"),
        ([], {"slack_bot": "BOT", "slack_app": "xapp-1-wrong"}, "invalid_auth"),
        (["--transport", "pigeon"], {}, "--transport cannot be"),
        (["--domain", "gmail.com"], {}, "Anybody can have an address"),
        (["--outsiders", "everything"], {}, "--outsiders cannot be"),
        (["--api-url", "http://example.org/api/"], {}, "no https address"),
    ],
)
def test_a_workspace_is_not_connected_while_something_is_missing(metier, slack, catalog, arguments, secrets, told):
    tokens = {"BOT": slack.bot_token, "APP": slack.app_token}
    given = {name: tokens.get(secret, secret) for name, secret in secrets.items()}

    code, _, error = metier("connect", "--api-url", slack.api_url, *arguments, **given)

    assert code == 1
    assert told in error
    assert slack.bot_token not in error
    with catalog.reading() as session:
        assert store_workspaces.workspaces(session) == []


def test_an_app_without_a_scope_is_not_connected(metier, catalog):
    narrow = yaml.safe_load(connecting.manifest())
    narrow["oauth_config"]["scopes"]["bot"].remove("files:read")
    with FakeSlack(narrow) as slack:
        tokens = {"slack_bot": slack.bot_token, "slack_app": slack.app_token}
        code, _, error = metier("connect", "--api-url", slack.api_url, **tokens)

    assert (code, "lacks the scopes files:read" in error) == (1, True)
