"""Each format gives its text, with pages, headings and table headers: through the pool, in a real child process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from indexing import errors
from indexing.parse import ParserPool
from tests import samples
from tests.samples import MARK

RST = """
Rules
=====

term
  Its meaning.

Pay
---

* one

::

  x = 1
    y

=====  ===  ===
Grade  Pay  Day
=====  ===  ===
A      10   2
=====  ===  ===
"""
ORG = """
* Rules
- term :: Its meaning.
** Pay
- one
#+BEGIN_EXAMPLE
x = 1
  y
#+END_EXAMPLE
| Grade | Pay | Day |
|-------+-----+-----|
| A     | 10  | 2   |
"""
TEXT_SUFFIXES = ("txt", "md", "html", "rst", "org", "json", "xml", "csv", "py", "yaml", "log", "ndjson")
needs_tesseract = pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
needs_libreoffice = pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")


@pytest.fixture(scope="module")
def pool():
    from indexing.settings import IndexingSettings

    with ParserPool(IndexingSettings(parse_workers=1)) as pool:
        yield pool


@pytest.fixture
def parse(pool, tmp_path):
    def run(content, name, media_type=None):
        data = content.encode() if isinstance(content, str) else content
        path = tmp_path / "content"  # no extension: the name is told apart
        path.write_bytes(data)
        (tmp_path / "work").mkdir(exist_ok=True)
        return pool.parse(path, name, media_type, tmp_path / "work")

    return run


def text_of(parsed):
    return "\n".join(block.text for block in parsed.blocks)


def block_with(parsed, text):
    return next(block for block in parsed.blocks if text in block.text)


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("a.docx", samples.docx), ("a.pptx", samples.pptx), ("a.odt", samples.odt), ("a.rtf", samples.rtf),
        ("a.epub", samples.epub), ("a.eml", samples.eml), ("a.msg", samples.msg),
        ("a.txt", lambda: MARK), ("a.md", lambda: f"# T\n\n{MARK}"), ("a.html", lambda: f"<p>{MARK}</p>"),
        ("a.rst", lambda: f"T\n=\n\n{MARK}\n"), ("a.org", lambda: f"* T\n{MARK}\n"),
        ("a.json", lambda: json.dumps({"note": MARK})), ("a.xml", lambda: f"<a><b>{MARK}</b></a>"),
        ("a.csv", lambda: f"a,b\n1,{MARK}\n"), ("a.py", lambda: f"# {MARK}\nx = 1\n"),
        ("a.yaml", lambda: f"note: {MARK}"),
        ("a.pdf", lambda: samples.pdf([(50, 700, 11, MARK)])), ("a.log", lambda: f"12:00 {MARK}"),
        ("a.ndjson", lambda: json.dumps({"note": MARK}) + "\n{}\n"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mislabelled", [False, True])
def test_every_format_gives_its_text_even_when_it_is_called_something_else(parse, name, build, mislabelled):
    text_only = name.rpartition(".")[2] in TEXT_SUFFIXES
    parsed = parse(build(), ("a.docx" if text_only else "a.txt") if mislabelled else name)
    assert MARK in " ".join(text_of(parsed).split())


def test_word_blocks_know_their_page_headings_and_table_headers(parse):
    parsed = parse(samples.docx(), "livret.docx")
    assert parsed.title == "Le livret d'accueil"
    paragraph = block_with(parsed, MARK)
    assert (paragraph.kind, paragraph.page, paragraph.heading_path) == ("text", 1, ("Congés", "Congé parental"))
    assert block_with(parsed, "Prévenir").kind == "list"
    table = block_with(parsed, "Ada")
    assert (table.kind, table.page, table.heading_path) == ("table", 2, ("Primes",))
    assert table.text == "Nom: Ada; Prime: 300; Mois: mai\nNom: Alan; Prime: 250; Mois: juin"


def test_slides_are_pages_and_their_titles_are_headings(parse):
    parsed = parse(samples.pptx(), "deck.pptx")
    block = block_with(parsed, MARK)
    assert (block.page, block.heading_path) == (2, ("Congés",))
    assert block_with(parsed, "prévenance").page == 2


def test_slide_shows_are_read_like_presentations(parse):
    show = samples.rewritten(
        samples.pptx(), "[Content_Types].xml", b"presentationml.presentation.main", b"presentationml.slideshow.main"
    )
    assert MARK in text_of(parse(show, "deck.ppsx"))


def test_sheets_are_pages_and_each_row_repeats_its_headers(parse):
    parsed = parse(samples.xlsx(), "book.xlsx")
    assert block_with(parsed, "2500").text == "Grade: A; Salaire: 2000\nGrade: B; Salaire: 2500.5"
    contacts = block_with(parsed, "4711")
    assert (contacts.page, contacts.heading_path) == (2, ("Contacts",))


def test_a_table_of_many_rows_becomes_many_bounded_blocks(parse):
    rows = "".join(f"{n};Person {n};City {n}\n" for n in range(1000))
    parsed = parse("id;name;city\n" + rows, "people.csv")
    assert len(parsed.blocks) > 10
    assert all(len(block.text) < 2000 for block in parsed.blocks)
    assert "id: 999; name: Person 999; city: City 999" in text_of(parsed)


@pytest.mark.parametrize(
    "data",
    [
        "Nom;Ville\nZoé;Liège\n".encode("utf-16"), "Nom;Ville\nZoé;Liège\n".encode("utf-16-le"),
        "Nom,Ville\nZoé,Liège\n".encode("cp1252"), "Nom\tVille\tMois\nZoé\tLiège\n".encode(),
        "sep=|\nNom|Ville\nZoé|Liège|de trop\n".encode(),
    ],
)  # fmt: skip
def test_delimited_files_are_read_in_any_encoding_delimiter_and_shape(parse, data):
    assert {"Zoé", "Liège"} <= set(text_of(parse(data, "a.csv")).replace(";", "").split())


def test_pdf_paragraphs_headings_and_broken_words_are_put_together_again(parse):
    body = [
        (50, 700, 10, "The first paragraph speaks of parental leave and of the docu-"),
        (50, 688, 10, "ments that an employee sends before it begins, with all dates"),
        (50, 676, 10, "and the name of the person who takes over meanwhile."),
        (50, 650, 10, "The second paragraph stands apart and speaks of something else."),
        (50, 638, 10, "It goes on for a second line."),
    ]
    second = [(50, 700, 10, "A page further, the text of the handbook goes on to other things.")]
    parsed = parse(samples.pdf([(50, 740, 20, "Leave rules"), *body], second), "rules.pdf")
    paragraph = block_with(parsed, "first paragraph")
    assert "documents that an employee" in paragraph.text
    assert paragraph.text.endswith("meanwhile.")
    assert (paragraph.page, paragraph.heading_path) == (1, ("Leave rules",))
    assert parsed.title == "Leave rules"
    assert block_with(parsed, "A page further").page == 2


def test_mail_keeps_its_header_its_html_body_and_its_attachments(parse):
    parsed = parse(samples.eml(name="../../étage\x00/peo\u202eple.csv"), "a.eml")
    assert parsed.title == "Congés d'été"
    assert "From: Ada <ada@example.org>" in text_of(parsed)
    assert "replaces" not in text_of(parsed)
    (attachment,) = parsed.attachments
    assert attachment.name == "people.csv"
    assert attachment.path.name == "attachment-0000"
    assert attachment.path.read_bytes() == b"name,city\nAda,London\n"


def test_outlook_messages_keep_recipients_and_attachments(parse):
    parsed = parse(samples.msg(), "a.msg")
    assert parsed.title == "Congés d'été"
    assert "Alan <alan@example.org>" in text_of(parsed)
    (attachment,) = parsed.attachments
    assert attachment.name == "notestxt.txt"
    assert attachment.path.read_bytes() == b"Alan's notes about the summer"


def test_a_mailbox_gives_each_mail(parse):
    mails = b"".join(
        b"From a@b Mon Jan  1 00:00:00 2024\nFrom: a@b\nSubject: S%d\n\nBody %d\n\n" % (n, n) for n in range(3)
    )
    parsed = parse(mails, "a.mbox")
    assert all(f"Body {n}" in text_of(parsed) for n in range(3))
    assert block_with(parsed, "Body 2").heading_path == ("S2",)


def test_a_book_is_read_in_the_order_of_its_spine(parse):
    parsed = parse(samples.epub(), "a.epub")
    assert parsed.title == "Le guide"
    assert text_of(parsed).index(MARK) < text_of(parsed).index("La suite")
    assert block_with(parsed, "La suite").heading_path == ("Deux",)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.rst", RST), ("a.org", ORG)],
)
def test_markup_keeps_headings_lists_code_and_table_headers(parse, name, content):
    parsed = parse(content, name)
    assert "Its meaning." in text_of(parsed)
    assert block_with(parsed, "one").kind == "list"
    assert block_with(parsed, "one").heading_path == ("Rules", "Pay")
    assert (block_with(parsed, "x = 1").kind, block_with(parsed, "x = 1").text) == ("code", "x = 1\n  y")
    assert block_with(parsed, "Grade").text == "Grade: A; Pay: 10; Day: 2"
    assert parsed.title == "Rules"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.org", "#+TITLE: Congés payés\n* Rules\nText.\n"),
        ("a.rtf", rb"{\rtf1\ansi{\info{\title Cong\'e9s pay\'e9s}}Text.\par}"),
        ("b.rtf", rb"{\rtf1\ansi{\info{\title Cong?s}{\title Cong\u233\'3fs pay\u233?s}}Text.\par}"),
        ("a.odt", samples.rewritten(samples.odt(), "meta.xml", b"</office:meta>",
         "<dc:title xmlns:dc='http://purl.org/dc/elements/1.1/'>Congés payés</dc:title></office:meta>".encode())),
    ],
)  # fmt: skip
def test_a_stated_title_is_the_title(parse, name, content):
    assert parse(content, name).title == "Congés payés"


@pytest.mark.parametrize("name", ["a.rst", "a.org"])
def test_markup_is_read_in_its_own_encoding(parse, name):
    words = "L'été à Liège, l'employé reçoit une prime dès son arrivée."
    assert all(text_of(parse(words.encode(encoding), name)) == words for encoding in ("utf-16", "cp1252"))


def test_nested_tables_and_odd_markup_lose_no_text(parse):
    page = "<table><tr><td>outer<table><tr><th>A<th>B<tr><td>1<td>2</table></td></tr></table><p>x<script>no</script>y"
    text = text_of(parse(f"<html><head><title>T</title></head><body>{page}", "a.html"))
    assert "outer" in text
    assert "A: 1; B: 2" in text
    assert "no" not in text
    assert "xy" in text


def test_markdown_links_keep_their_address(parse):
    parsed = parse("---\ntitle: 'My page'\n---\n# A\n## B\nSee [the form](https://forms.example/1).\n", "a.md")
    block = block_with(parsed, "form")
    assert block.text == "See the form (https://forms.example/1)."
    assert block.heading_path == ("A", "B")
    assert parsed.title == "My page"


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-be", "utf-8-sig", "latin-1"])
def test_text_is_read_in_its_own_encoding(parse, encoding):
    words = "Été à Liège : l'employé reçoit une prime dès son arrivée, où qu'il soit."
    assert text_of(parse(words.encode(encoding), "a.txt")) == words


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("txt", "just words"), ("html", "<p>just words"), ("rst", "just words"), ("org", "just words"),
        ("csv", "just,words"), ("rtf", samples.rtf()), ("docx", samples.docx()), ("odt", samples.odt()),
        ("xlsx", samples.xlsx()), ("pptx", samples.pptx()),
    ],
)  # fmt: skip
def test_title_never_comes_from_the_file_name(parse, suffix, content):
    title = parse(content, f"Important Contract.{suffix}").title
    assert title is None or title not in ("content", "Important Contract")


@needs_libreoffice
def test_legacy_office_files_are_read_through_libreoffice(parse, tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    made = (("a.docx", samples.docx, "doc"), ("a.pptx", samples.pptx, "ppt"), ("b.xlsx", samples.xlsx, "xls"))
    for name, build, target in made:
        (folder / name).write_bytes(build())
        subprocess.run(
            ["soffice", "--headless", f"-env:UserInstallation=file://{tmp_path}/profile", "--convert-to", target,
             "--outdir", str(folder), str(folder / name)],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
    word = parse((folder / "a.doc").read_bytes(), "a.doc")
    assert block_with(word, MARK).heading_path == ("Congés", "Congé parental")
    assert block_with(parse((folder / "a.ppt").read_bytes(), "a.ppt"), MARK).page == 2
    assert "Grade: B; Salaire: 2500.5" in text_of(parse((folder / "b.xls").read_bytes(), "b.xls"))
    assert "Grade: A; Salaire: 2000" in text_of(parse(samples.ods(), "a.ods"))


@needs_tesseract
@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"])
def test_pictures_are_read_by_tesseract(parse, form):
    assert "sixteen weeks" in text_of(parse(samples.picture(form=form), f"scan.{form.lower()}"))


@needs_tesseract
def test_scanned_pages_are_read_by_tesseract(parse):
    parsed = parse(samples.scanned_pdf(), "scan.pdf")
    assert "sixteen weeks" in text_of(parsed)
    assert parsed.blocks[0].page == 1


@pytest.mark.parametrize(
    ("build", "program"),
    [(samples.picture, "tesseract"), (samples.ods, "LibreOffice"), (samples.scanned_pdf, "tesseract")],
)
def test_a_missing_program_is_named_with_its_remedy(monkeypatch, tmp_path, build, program):
    from indexing.parsing.formats import read
    from indexing.parsing.job import Job, Limits

    monkeypatch.setenv("PATH", os.devnull)
    path = tmp_path / "file"
    path.write_bytes(build())
    limits = Limits(30, 2048, 50, 200, "eng", 30)
    job = Job(path, "file", None, tmp_path, tmp_path, limits, deadline=float("inf"))
    with pytest.raises(errors.ParseError, match=program) as caught:
        read(job)
    assert isinstance(caught.value, errors.ParserMissing | errors.EmptyDocument)
    assert "nstall" in caught.value.remedy
