"""Two worlds that differ only in what one user may not see, and what is masked before their answers are compared."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import select

from app import keys, people
from app.specialists import Asker, Specialist, create_specialist
from indexing import principals, runs, store
from indexing.documents import Failure, Scope, SyncReport
from indexing.tables import LOCAL_PRINCIPAL_ID, AclRow
from tests.searching import Company

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.faces import Face

#: Common words are in nearly every text, rare ones in few: as in any language.
ENGLISH = (
    "leave paid holiday manager employee contract salary office travel expense laptop security training "
    "request form approval deadline insurance pension bonus overtime sickness parental notice probation "
    "remote badge visitor cantine parking supplier invoice audit warehouse forklift helmet fire alarm "
    "evacuation nurse "
)
FRENCH = (
    "congé payé vacances responsable salarié contrat salaire bureau voyage frais ordinateur sécurité "
    "formation demande formulaire accord délai assurance retraite prime maladie parental préavis essai "
    "distance badge visiteur cantine parking fournisseur facture audit entrepôt chariot casque incendie "
    "alarme évacuation "
)
WORDS = {"en": ENGLISH.split(), "fr": FRENCH.split()}
LINKS = {"en": "the of and is in for to with", "fr": "le de et est dans pour à avec"}
FOOTER = {
    "en": "This document is the property of the company and is for the use of its employees only.",
    "fr": "Ce document est la propriété de la société et est à l’usage de ses salariés seulement.",
}
MINE, HIDDEN = ("guide", "rules"), ("board", "payroll")
#: What differs between the worlds and says nothing of what is in them. Ids keep who is who: see ``Masks``.
IDS = {
    "id": "",
    "source_id": "source",
    "document_id": "document",
    "chunk_id": "chunk",
    "parent_id": "document",
    "run_id": "run",
    "next_after": "document",
    "answer_id": "answer",
}
TIMES = {"seconds", "created", "modified_at", "indexed_at", "started_at", "finished_at", "beat_at", "at"}
#: Method, path, body, what a bare id in the answer is of, and the number in the path that is masked.
Asked: TypeAlias = tuple[str, str, Any, str, int | None]
POSITIONS = {"indexed_through", "seq", "generation"}  # of the change log


def text_of(chance: random.Random, language: str, words: int, skew: float) -> str:
    """Return a paragraph; the lower *skew* is, the more often it takes the rare words."""
    own, links = WORDS[language], LINKS[language].split()
    chosen = [own[min(int(chance.random() ** skew * len(own)), len(own) - 1)] for _ in range(words)]
    return " ".join(f"{chance.choice(links)} {word}" for word in chosen).capitalize() + "."


@dataclass
class World:
    """One of the two. What the user sees is drawn from the seed; what is hidden, if anything is, from another."""

    face: Face
    seed: int
    hidden: bool  # holds things that the user may not see
    ids: dict[str, int] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)  # by the name of their source
    forbidden: list[int] = field(default_factory=list)
    key: str = ""

    def fill(self, documents: int) -> None:
        """Put everything there, what is hidden between what is not."""
        chance, elsewhere = random.Random(self.seed), random.Random(f"{self.seed} hidden")
        self.company = Company(self.face.parts.catalog, self.face.parts.settings, self.face.parts.embedder)  # type: ignore[arg-type]
        self.add_people()
        self.add_sources(HIDDEN[:1] if self.hidden else (), "directors")
        self.add_sources(MINE, "staff")
        self.add_sources(HIDDEN[1:] if self.hidden else (), "managers")
        for number in range(documents):
            self.put(chance, MINE[number % 2], number, words=chance.choice((8, 25, 60)), skew=2.0)
            if self.hidden:
                for _ in range(elsewhere.randrange(4)):
                    self.hide(elsewhere, number)
            if number == elsewhere.randrange(documents) and self.hidden:
                self.face.parts.index.publish(force=True)  # another boundary between generation and tail
        self.fail_and_run(MINE)
        if self.hidden:
            self.fail_and_run(HIDDEN)
            self.company.delete(*elsewhere.sample(self.forbidden, len(self.forbidden) // 4))
        self.add_specialists()

    def add_people(self) -> None:
        """Add the user, in the group that reads, and others where there are any."""
        with self.face.parts.catalog.transaction() as session:
            if self.hidden:
                for name in ("bob", "eve", "zoe"):
                    principals.add_principal(session, "user", name)
                for name in ("managers", "directors"):
                    principals.add_principal(session, "group", name)
            ann = principals.add_principal(session, "user", "ann", role="operator")
            principals.add_principal(session, "group", "staff")
            staff = people.principal(session, "staff")
            principals.join_group(session, staff, ann)
            if self.hidden:
                principals.join_group(session, people.principal(session, "directors"), people.principal(session, "bob"))
                principals.join_group(session, staff, people.principal(session, "eve"))
            self.key = keys.create_key(session, ann, {"ask", "read", "write", "operate", "observe"})[1]

    def add_sources(self, names: Iterable[str], readers: str) -> None:
        """Add push sources that this group reads, and in the world with more people somebody else too."""
        for name in names:
            self.ids[name] = self.company.source(name)
            with self.face.parts.catalog.transaction() as session:
                source = store.source_named(session, name)
                assert source is not None
                people.grant(session, source, [readers, *(["zoe"] if self.hidden else [])])

    def put(self, chance: random.Random, source: str, number: int, *, words: int, skew: float) -> int:
        """Put one document of a few paragraphs, the last of which every document has."""
        language = chance.choice(("en", "en", "fr"))
        paragraphs = [text_of(chance, language, words, skew) for _ in range(chance.randrange(1, 4))]
        text = "\n\n".join([*paragraphs, FOOTER[language]])
        title = " ".join(chance.sample(WORDS[language][:12], 2))
        return self.company.put(f"{source}/{number:04}.md", text, source_id=self.ids[source], acl_id=None, title=title)

    def hide(self, chance: random.Random, number: int) -> None:
        """Put a document that the user may not see: of the same words, the rare ones often, and long."""
        source, name = chance.choice(HIDDEN), number * 100 + chance.randrange(100)
        self.forbidden.append(self.put(chance, source, name, words=chance.choice((2, 90)), skew=0.6))

    def fail_and_run(self, sources: Iterable[str]) -> None:
        """Record a run and a failure in each source."""
        with self.face.parts.catalog.transaction() as session:
            for name in sources:
                run_id = self.runs[name] = runs.start_run(session, self.ids[name])
                runs.finish_run(session, SyncReport(run_id, name, "succeeded"))
                failure = Failure(f"{name}/x.pdf", "parse", "It is damaged.", "Save it again.", "ParseError")
                runs.record_failure(session, self.ids[name], run_id, failure, None, "p")

    def add_specialists(self) -> None:
        """Add the same ones in both worlds, some for sources that the user does not see."""
        gone = None if self.hidden else self.company.source(HIDDEN[0])  # in one world it is hidden, in the other gone
        with self.face.parts.catalog.transaction() as session:
            lists = session.scalars(select(AclRow.id))
            maker = Asker(Scope(LOCAL_PRINCIPAL_ID, frozenset(lists)), every=True)
            for name, sources in (
                ("bold", ()),
                ("mine", MINE[:1]),
                ("theirs", HIDDEN[:1]),
                ("both", ("rules", "board")),
            ):
                wanted = Specialist(name, threshold=0.0, sources=sources)
                create_specialist(session, maker, wanted, {people.principal(session, "everyone").id})
            if gone is not None:
                store.remove_source(session, gone)

    def stir(self) -> None:
        """Change what is hidden, where there is any; the user's own documents stay."""
        if self.hidden:
            elsewhere = random.Random(f"{self.seed} later")
            for number in range(10):
                self.hide(elsewhere, 5000 + number)
            self.face.parts.index.publish(force=True)


@dataclass
class Masks:
    """Puts a name for each id, in the order in which ids are met: the same thing has the same name all along."""

    names: dict[tuple[str, Any], str] = field(default_factory=dict)

    def name(self, kind: str, value: Any) -> str | None:
        """Return the name of an id."""
        return None if value is None else self.names.setdefault((kind, value), f"{kind} {len(self.names)}")

    def mask(self, value: Any, kind: str) -> Any:
        """Return a JSON value without ids, times and positions; *kind* is what a bare ``id`` is of."""
        if isinstance(value, list):
            return [self.mask(each, kind) for each in value]
        if not isinstance(value, dict):
            return value
        found: dict[str, Any] = {}
        for key, each in value.items():
            if key == "id" and re.fullmatch(r"chatcmpl-\d+", str(each)):
                found[key] = "chatcmpl-time"  # of a stream: the second in which it began
            elif key in IDS and (kind != "model"):
                found[key] = self.name(IDS[key] or kind, each)
            elif key in TIMES or key in POSITIONS:
                found[key] = key
            else:
                found[key] = self.mask(each, kind)
        return found

    def body(self, text: str, kind: str, asked: int | None) -> str:
        """Return a body, JSON, server-sent events, metrics or text, without them."""
        if asked is not None:
            text = re.sub(rf"\b{asked}\b", "<asked>", text)
        return "\n".join(self.line(line, kind) for line in text.splitlines())

    def line(self, line: str, kind: str) -> str:
        """Return one line without them; the order of fields is kept."""
        if line.startswith(("metier_changelog_seq", "metier_answer_seconds")) or "_created" in line:
            return re.split(r"[ {]", line, maxsplit=1)[0]
        start = "data: " if line.startswith("data: ") else ""
        rest = line.removeprefix("data: ")
        if not rest.startswith("{"):
            return line
        return start + json.dumps(self.mask(json.loads(rest), kind), ensure_ascii=False)


def question(chance: random.Random) -> str:
    """Return a question of one to five words, or one in no language."""
    if chance.random() < 0.1:
        return chance.choice(("30 €", "2026 ?", "badge", "§ 4.2"))
    language = chance.choice(("en", "fr"))
    words = chance.sample(WORDS[language], chance.choice((1, 1, 2, 3, 5)))
    lead = {"en": "What is the rule for", "fr": "Quelle est la règle pour"}[language]
    return f"{lead} {' '.join(words)} ?" if chance.random() < 0.6 else " ".join(words)


def script(world: World, seed: str) -> Iterator[Asked]:
    """Yield what the user asks."""
    chance = random.Random(seed)
    for _ in range(30):
        yield "POST", "/v1/search", {"question": question(chance), "top_k": chance.choice((5, 50))}, "", None
    for name in ("bold", "bold", "mine", "theirs", "both", "metier"):
        told = {"question": question(chance), "specialist": name}
        chat = {"model": name, "messages": [{"role": "user", "content": question(chance)}]}
        yield "POST", "/v1/ask", told, "", None
        yield "POST", "/v1/ask", told | {"stream": True}, "", None
        yield "POST", "/v1/chat/completions", chat, "answer", None
        yield "POST", "/v1/chat/completions", chat | {"stream": True}, "answer", None
    for sources in (["rules"], ["board"], ["rules", "payroll"], ["nowhere"]):
        yield "POST", "/v1/search", {"question": question(chance), "sources": sources}, "", None
    for path, kind in (("sources", "source"), ("runs", "run"), ("failures", ""), ("documents?limit=20", "document")):
        yield "GET", f"/v1/{path}", None, kind, None
    for path in ("models", "models/theirs", "models/nobody"):
        yield "GET", f"/v1/{path}", None, "model", None
    for path in ("specialists", "specialists/theirs", "specialists/nobody", "specialists/both/versions"):
        yield "GET", f"/v1/{path}", None, "", None
    for path in ("/readyz", "/healthz", "/metrics", "/v1/keys", "/v1/absent"):
        yield "GET", path, None, "", None
    yield "POST", "/v1/search", {"question": ""}, "", None
    for name in HIDDEN:
        made = {"sources": [name]}
        yield "POST", "/v1/specialists", made | {"name": f"of-{name}"}, "", None
        yield "POST", "/v1/specialists/bold/versions", made, "", None
    yield "POST", "/v1/feedback", {"answer_id": "none", "helpful": True}, "feedback", None
    yield from others(world, chance)


def others(world: World, chance: random.Random) -> Iterator[Asked]:
    """Yield requests for what is hidden in one world and absent in the other, and for the like of the user's own."""
    at = chance.random()  # drawn in both worlds, so that they go on alike
    hidden = world.forbidden[int(at * len(world.forbidden))] if world.hidden else 10**6
    closed = world.ids[HIDDEN[0]] if world.hidden else 10**6
    mine = world.ids[chance.choice(MINE)]
    uri = "board/0001.md"
    run = world.runs[HIDDEN[0]] if world.hidden else 10**6
    for method, tail in (("GET", ""), ("GET", "/explain"), ("GET", "/events"), ("POST", "/cancel")):
        yield method, f"/v1/runs/{run}{tail}", None, "run", run
    for tail in ("", "/content"):
        yield "GET", f"/v1/documents/{hidden}{tail}", None, "document", hidden
    for number in (mine, closed):
        asked = number if number == closed else None
        yield "GET", f"/v1/documents?source_id={number}&limit=5", None, "document", None
        yield "GET", f"/v1/runs?source_id={number}", None, "run", None
        yield "GET", f"/v1/failures?source_id={number}", None, "", None
        yield "GET", f"/v1/sources/{number}", None, "source", asked
        yield "POST", f"/v1/sources/{number}/plan", None, "", asked
        yield "GET", f"/v1/sources/{number}/documents/{uri}", None, "document", asked
        yield "DELETE", f"/v1/sources/{number}/documents/{uri}", None, "", asked
    yield "PUT", f"/v1/sources/{closed}/documents/{uri}", "Some text.", "", closed
    yield "POST", f"/v1/sources/{closed}/sync", None, "run", closed
    yield "DELETE", f"/v1/sources/{closed}", None, "", closed
