"""The parts of parsing that need no file: decoding, tables, headings, HTML, the tokenizer's place-holder."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

from indexing import errors
from indexing.parse import PARSER_VERSION
from indexing.parsing import decode, tables, tokenizer
from indexing.parsing.blocks import Page, clean
from indexing.parsing.formats import READERS
from indexing.parsing.html import add_html
from indexing.parsing.properties import sensible_title

#: The functions that unstructured's readers import from its tokenizer module, and all that it defines in public.
UPSTREAM_NAMES = {"sent_tokenize", "word_tokenize", "pos_tag"}


def rows_of(rows, header=None):
    page = Page(1 << 20)
    page.table(rows, header=header)
    return [line for block in page.blocks for line in block.text.split("\n")]


def blocks_of(markup):
    page = Page(1 << 20)
    add_html(page, markup)
    return [(block.kind, block.text, block.heading_path) for block in page.blocks]


def test_upstreams_tokenizer_still_has_the_names_that_we_replace():
    spec = importlib.util.find_spec("unstructured")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).parent / "nlp" / "tokenize.py"
    tree = ast.parse(source.read_text(encoding="utf-8"))
    public = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}
    assert public == UPSTREAM_NAMES
    imported = {
        alias.name
        for file in (source.parent.parent / "partition").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "unstructured.nlp.tokenize"
        for alias in node.names
    }
    assert imported <= UPSTREAM_NAMES
    assert all(callable(getattr(tokenizer, name)) for name in UPSTREAM_NAMES)


def test_the_tokenizer_cuts_sentences_and_words():
    assert tokenizer.sent_tokenize("It ends. Another begins! Non ?") == ["It ends.", "Another begins!", "Non ?"]
    assert tokenizer.word_tokenize("L'employé part.") == ["L'employé", "part", "."]
    assert ("worked", "VB") in tokenizer.pos_tag("She worked here")


def test_every_reader_exists():
    for module, function in READERS.values():
        assert callable(getattr(importlib.import_module(f"indexing.parsing.{module}"), function))
    assert PARSER_VERSION


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]
)
def test_french_text_survives_any_encoding(encoding):
    text = "Où l'été s'achève, la rentrée – et ses congés – commence : « à bientôt »."
    assert decode.decode(text.encode(encoding)) == text
    assert decode.looks_like_text(text.encode(encoding))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("Привет, как дела? Мы читаем документ.", "cp1251"), ("日本語の文書を読みます。これは試験です。", "shift_jis")],
)
def test_other_alphabets_are_detected(text, encoding):
    assert decode.decode((text * 20).encode(encoding)) == text * 20


@pytest.mark.parametrize("data", [b"", bytes(range(256)) * 20, b"\x00\x01\x02\x03" * 100, b"\xff\xfb\x90\x00" * 100])
def test_binary_data_is_not_text(data):
    assert not decode.looks_like_text(data)


def test_a_slip_deep_inside_a_long_text_does_not_change_its_encoding():
    data = "é".encode() * 100_000 + b"\xff" + "é".encode() * 10
    assert decode.decode(data).startswith("ééé")


def test_clean_text_holds_nothing_that_a_database_refuses():
    assert clean("a\x00b\ud800c\u00add\ufeff \u00a0 e\r\nf\ufffe") == "abcd e\nf"
    assert clean("a \n\n\n\n b") == "a\n\nb"
    assert clean("  if x:\n      y  \n", keep_spaces=True) == "  if x:\n      y"


def test_rows_repeat_their_headers():
    assert rows_of([["Name", "Born", "City"], ["Ada", "1815", "London"], ["Alan", "", "Wilmslow"]]) == [
        "Name: Ada; Born: 1815; City: London",
        "Name: Alan; City: Wilmslow",
    ]


def test_what_does_not_look_like_a_header_is_a_row():
    assert rows_of([["2023", "2024"], ["1", "2"]]) == ["2023; 2024", "1; 2"]
    assert rows_of([["Manager", "Ada"], ["Office", "B12"]]) == ["Manager; Ada", "Office; B12"]
    assert rows_of([["Manager", "Ada"], ["Office", "B12"]], header=True) == ["Manager: Office; Ada: B12"]


def test_a_table_of_blanks_adds_nothing():
    assert rows_of([["", " "], []]) == []


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a;b\n1,5;2\n", [["a", "b"], ["1,5", "2"]]),
        ('a,"b,c"\n1,2\n', [["a", "b,c"], ["1", "2"]]),
        ("one column\nof words\n", [["one column"], ["of words"]]),
        ("a\tb\n1\t2\t3\n", [["a", "b"], ["1", "2", "3"]]),
        ("sep=|\na|b\n", [["a", "b"]]),
        ("", []),
    ],
)
def test_delimiters_are_found(text, rows):
    assert tables.delimited(text) == rows


def test_headings_open_and_close():
    page = Page(1000)
    for text, level in (("A", 1), ("B", 2), ("C", 2), ("D", 1)):
        page.heading(text, level)
        page.add(f"under {text}")
    assert [block.heading_path for block in page.blocks if block.kind == "text"] == [
        ("A",),
        ("A", "B"),
        ("A", "C"),
        ("D",),
    ]
    assert page.title == "A"


def test_a_document_past_its_output_limit_stops():
    page = Page(10)
    page.add("0123456789")
    with pytest.raises(errors.ParseLimit):
        page.add("x")


def test_html_gives_kinds_headings_and_rows():
    markup = """<h1>Rules</h1><p>First <b>bo</b>ld.<br>Next</p><ul><li>one<ul><li>inner</li></ul></li></ul>
    <pre>  x = 1\n  y</pre><h2>Pay</h2><table><tr><th>Grade</th><th>Pay</th></tr>
    <tr><td rowspan=2>A</td><td>1</td></tr><tr><td>2</td></tr></table><style>no</style>tail"""
    assert blocks_of(markup) == [
        ("title", "Rules", ()),
        ("text", "First bold.\nNext", ("Rules",)),
        ("list", "one", ("Rules",)),
        ("list", "inner", ("Rules",)),
        ("code", "  x = 1\n  y", ("Rules",)),
        ("title", "Pay", ("Rules",)),
        ("table", "Grade: A; Pay: 1\nGrade: A; Pay: 2", ("Rules", "Pay")),
        ("text", "tail", ("Rules", "Pay")),
    ]


@pytest.mark.parametrize(
    "title", ["Microsoft Word - a.doc", "report_v2.docx", "Slide 1", "Présentation PowerPoint", "12-34", "", None]
)
def test_titles_that_programs_make_up_are_not_titles(title):
    assert sensible_title(title) is None


def test_real_titles_are_kept():
    assert sensible_title(" Livret  d'accueil 2024 ") == "Livret d'accueil 2024"
