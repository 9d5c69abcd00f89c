"""Linking a Slack user: by who signed in and opens the user's link, once; and by an administrator."""

from __future__ import annotations

import html
import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select, update

from app import audit, keys
from app.identity_provider import IdentityProvider
from app.metrics import Metrics
from app.slack import store_links, store_people, store_workspaces
from app.slack.bot import Bot
from app.slack.client import Slack
from app.slack.linking import link_for
from app.slack.who import person
from app.tables_slack import SlackLinkRow
from app.testing.slack import FakeSlack
from indexing import db, principals
from indexing.secrets import store_secret
from indexing.tables import utc_now
from tests.commands import commands
from tests.faces import face
from tests.identity_provider import ISSUER, PUBLIC, SETTINGS, Provider
from tests.slacks import TEAM, workspace

pytestmark = pytest.mark.network
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Origin": PUBLIC}


class Company:
    """The application with an identity provider and a connected workspace, and a browser."""

    def __init__(self, found, slack):
        self.http, self.parts, self.slack, self.provider = found.http, found.parts, slack, Provider()
        found.http.base_url = PUBLIC
        registered = found.parts.settings.registration
        application: Any = found.http.app
        application.state.identity_provider = IdentityProvider(registered, PUBLIC, self.provider.transport)
        fields = {"team_id": slack.team_id, "api_url": slack.api_url, "bot_user_id": slack.bot_user_id}
        connected = workspace(**fields)
        store_secret(found.parts.settings.data_dir, "slack-bot", slack.bot_token)
        with self.parts.catalog.transaction() as session:
            store_workspaces.connect(session, connected)
        self.bot = Bot(self.parts, Metrics(), connected, Slack(slack.bot_token, slack.api_url))

    def sign_in(self, subject="u1", return_to="/", name=None):
        self.http.cookies.clear()
        self.provider.claims = {"sub": subject, "name": name or subject.upper()}
        sent = self.http.get(return_to, follow_redirects=False)
        if return_to == "/":
            sent = self.http.get("/v1/sign-in", follow_redirects=False)
        else:
            assert sent.status_code == 303
            sent = self.http.get(sent.headers["location"], follow_redirects=False)
        back = self.http.get(self.provider.authorise(sent.headers["location"]), follow_redirects=False)
        return back.headers["location"]

    def link(self, user):
        """The path of a new link of the user."""
        address = link_for(self.bot, person(self.bot, user))
        assert address is not None
        assert address.startswith(f"{PUBLIC}/slack/link?token=")
        return address.removeprefix(PUBLIC)

    def confirm(self, page, **changed):
        fields = dict(re.findall(r'hidden" name="(\w+)" value="([^"]*)"', page)) | changed
        return self.http.post("/slack/link", data={k: v for k, v in fields.items() if v is not None}, headers=FORM)

    def principal(self, user):
        return person(self.bot, user).principal_id

    def id_of(self, subject):
        with self.parts.catalog.reading() as session:
            found = principals.principal_named(session, subject, ISSUER)
        return None if found is None else found.id


@pytest.fixture
def company(settings, sqlite_url):
    with FakeSlack() as slack, face(settings(**SETTINGS)) as found:
        yield Company(found, slack)


def text_of(response):
    return html.unescape(response.text)


def test_who_signs_in_comes_back_to_the_page_and_links_by_confirming_once(company):
    ann = company.slack.add_user("ann <b>")
    path = company.link(ann)
    assert company.sign_in("u1", path, name="Ann Martin") == path

    page = company.http.get(path, headers={"Accept-Language": "en"})

    assert page.status_code == 200
    assert "<b>" not in page.text
    for said in ("ann <b>", ann, "Corp", "Ann Martin", "will be able to read what you"):
        assert said in text_of(page)
    assert company.principal(ann) is None  # looking changes nothing
    assert company.confirm(page.text).status_code == 400  # the box is not ticked
    assert company.principal(ann) is None
    done = company.confirm(page.text, mine="yes")
    assert done.status_code == 200
    assert "is now “Ann Martin”" in text_of(done)
    assert company.principal(ann) == company.id_of("u1")
    assert company.confirm(page.text, mine="yes").status_code == 404
    assert company.http.get(path).status_code == 404
    with company.parts.catalog.reading() as session:
        lines = [(e.action, e.object, e.principal_id) for e in audit.lines(session) if e.action.startswith("slack.")]
    assert lines == [("slack.link", f"{company.slack.team_id}/{ann} sign_in", company.id_of("u1"))]


def test_the_page_can_do_nothing_but_send_its_form_to_us_and_speaks_french_too(company):
    path = company.link(company.slack.add_user("ann"))
    company.sign_in()

    page = company.http.get(path, headers={"Accept-Language": "fr-FR,fr;q=0.9"})

    policy = page.headers["content-security-policy"]
    assert {"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))
    assert "allow-scripts" not in policy
    assert (page.headers["referrer-policy"], page.headers["cache-control"]) == ("same-origin", "no-store")
    assert "<script" not in page.text
    assert "pourra lire ce que vous" in text_of(page)
    assert "vous lui donneriez vos accès" in text_of(page)
    assert "«\N{NO-BREAK SPACE}ann\N{NO-BREAK SPACE}»" in text_of(page)


def test_a_form_that_is_not_ours_links_nobody(company):
    ann = company.slack.add_user("ann")
    path = company.link(ann)
    company.sign_in()
    page = company.http.get(path).text
    for csrf in (None, "", "x", "ïé"):
        assert company.confirm(page, mine="yes", csrf=csrf).status_code == 403
    fields = dict(re.findall(r'hidden" name="(\w+)" value="([^"]*)"', page)) | {"mine": "yes"}
    foreign = FORM | {"Origin": "https://evil.example"}
    assert company.http.post("/slack/link", data=fields, headers=foreign).status_code == 403
    company.http.cookies.clear()
    assert company.http.post("/slack/link", data=fields, headers=FORM).status_code == 401
    with company.parts.catalog.transaction() as session:
        owner = principals.principal_named(session, "u1", ISSUER)
        assert owner is not None
        key = {"Authorization": f"Bearer {keys.create_key(session, owner, {'ask', 'read'})[1]}"}
    assert company.http.post("/slack/link", data=fields, headers=FORM | key).status_code == 403
    assert company.http.get(path, headers=key, follow_redirects=False).status_code == 403
    assert company.http.get(path, headers={"Authorization": "Bearer x"}, follow_redirects=False).status_code == 401

    assert company.principal(ann) is None


def test_a_link_is_good_for_ten_minutes_and_only_the_newest_and_never_kept_in_clear(company):
    ann = company.slack.add_user("ann")
    company.sign_in()
    older, newer = company.link(ann), company.link(ann)
    assert company.http.get(older).status_code == 404
    assert company.http.get(newer).status_code == 200
    page = company.http.get(newer).text
    with company.parts.catalog.transaction() as session:
        row = session.execute(select(SlackLinkRow.secret_sha256, SlackLinkRow.expires_at)).one()
        assert timedelta(minutes=9) < row.expires_at - utc_now() <= timedelta(minutes=10)
        assert row.secret_sha256 not in newer
        assert len(newer.partition("=")[2]) >= 43  # 32 bytes
        session.execute(update(SlackLinkRow).values(expires_at=utc_now()))
    for path in (newer, "/slack/link", "/slack/link?token=x"):
        assert company.http.get(path).status_code == 404
    assert company.confirm(page, mine="yes").status_code == 404
    assert company.principal(ann) is None


def test_outsiders_get_no_link_and_who_becomes_one_cannot_use_it(company):
    slack = company.slack
    for other in (
        slack.add_user("guest", restricted=True),
        slack.add_user("stranger", stranger_team="T0OTHER"),
        slack.add_user("robot", is_bot=True),
    ):
        assert link_for(company.bot, person(company.bot, other)) is None
    ann = slack.add_user("ann")
    path = company.link(ann)
    company.sign_in()
    page = company.http.get(path).text
    slack.change_user(ann, restricted=True)

    assert company.http.get(path).status_code == 403
    assert company.confirm(page, mine="yes").status_code == 403
    slack.change_user(ann, restricted=False)
    slack.break_http(500)
    assert company.confirm(page, mine="yes").status_code == 502
    slack.break_http(None)
    assert company.principal(ann) is None
    assert company.confirm(page, mine="yes").status_code == 200  # nothing of that has used it up


def test_a_principal_is_one_user_of_a_workspace_and_what_an_administrator_said_stays(company):
    ann, mallory, eve = (company.slack.add_user(name) for name in ("ann", "mallory", "eve"))
    company.sign_in()
    assert company.confirm(company.http.get(company.link(ann)).text, mine="yes").status_code == 200
    page = company.http.get(company.link(mallory)).text
    assert company.confirm(page, mine="yes").status_code == 409
    assert company.principal(mallory) is None

    company.sign_in("u2")
    with company.parts.catalog.transaction() as session:
        other = principals.add_principal(session, "user", "eve")
        store_people.link(session, company.slack.team_id, eve, other.id, "admin")
    page = company.http.get(company.link(eve)).text
    assert company.confirm(page, mine="yes").status_code == 409
    assert company.principal(eve) == other.id


def test_there_is_no_link_where_nobody_can_sign_in(settings, sqlite_url):
    with FakeSlack() as slack, face(settings()) as found:
        fields = {"team_id": slack.team_id, "api_url": slack.api_url, "bot_user_id": slack.bot_user_id}
        bot = Bot(found.parts, Metrics(), workspace(**fields), Slack(slack.bot_token, slack.api_url))

        assert link_for(bot, person(bot, slack.add_user("ann"))) is None
        assert found.http.get("/slack/link?token=x").status_code == 404


def test_of_two_who_use_a_link_at_once_one_gets_it(catalog):
    with catalog.transaction() as session:
        token = store_links.offer(session, TEAM, "U1")
    with catalog.transaction() as session:
        assert store_links.offered(session, token) == (TEAM, "U1")
        assert store_links.take(session, token) == (TEAM, "U1")
        assert store_links.take(session, token) is None
    with catalog.transaction() as session:
        assert store_links.take(session, token) is None


def test_an_administrator_links_and_unlinks_on_the_command_line(tmp_path, monkeypatch, capsys, sqlite_url):
    run = commands(tmp_path, monkeypatch, capsys)
    assert run("slack", "link", "U0ANN", "local")[0] == 1  # no workspace
    catalog = db.open_catalog(sqlite_url)
    with catalog.transaction() as session:
        store_workspaces.connect(session, workspace())
        principals.add_principal(session, "user", "ann")
        principals.add_principal(session, "group", "staff")
    for user, name in (("ann", "ann"), ("U0ANN", "zoe"), ("U0ANN", "staff")):
        assert run("slack", "link", user, name)[0] == 1
    assert run("slack", "link", "U0ANN", "ann", "--team", "T9")[0] == 1
    assert run("slack", "link", "U0ANN", "ann")[0] == 0
    listed = json.loads(run("slack", "people", "--json")[1])
    assert [(e["user"]["user_id"], e["user"]["how"], e["principal"]["name"]) for e in listed] == [
        ("U0ANN", "admin", "ann")
    ]
    assert "U0ANN" in run("slack", "people")[1]
    assert run("slack", "unlink", "U0ANN")[0] == 0
    assert run("slack", "unlink", "U0ANN")[0] == 1
    with catalog.reading() as session:
        actions = [line.action for line in audit.lines(session) if line.action.startswith("slack.")]
    catalog.close()
    assert actions == ["slack.link", "slack.unlink"]


def test_the_way_back_is_a_path_of_ours_whatever_the_token_says(company):
    for token in ("x%0d%0aSet-Cookie:a=b", "//evil.example", "a" * 65, ""):
        sent = company.http.get(f"/slack/link?token={token}", follow_redirects=False)
        assert sent.status_code == 303
        assert urlsplit(sent.headers["location"]).netloc == ""
        assert sent.headers["location"].startswith("/v1/sign-in?return_to=%2Fslack%2Flink")
        assert "evil" not in sent.headers["location"]
