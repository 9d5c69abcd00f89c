"""Chunks: what they hold, how large they are, and what an edit leaves alone."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexing.chunk import chunk_blocks, document_language, document_text
from indexing.documents import BLOCK_KINDS, Block
from indexing.testing import HashEmbedder, text_blocks

spans = HashEmbedder().token_spans


def chunks_of(blocks, *, title=None, max_tokens=60):
    return chunk_blocks(list(blocks), title=title, token_spans=spans, max_tokens=max_tokens)


def prose(seed, sentences):
    """Return a paragraph of so many sentences, each different from all others."""
    choose = random.Random(seed)
    vocabulary = [f"word{n}" for n in range(500)]
    return " ".join(
        f"{' '.join(choose.choices(vocabulary, k=choose.randint(5, 14))).capitalize()}." for _ in range(sentences)
    )


def section(name, paragraphs, sentences=4):
    return [
        Block(name, "title"),
        *(Block(prose(f"{name}{n}", sentences), heading_path=(name,)) for n in range(paragraphs)),
    ]


def signs_per_byte(text):
    """A tokenizer as wasteful as a byte-level one gets: a token for each sign that is not a space, one per gap."""
    return [match.span() for match in re.finditer(r"\s+|\S", text)]


words_and_signs = st.text(alphabet=st.sampled_from("ab éàß.!?,;»'()\n\t-|1。中😀"), min_size=1, max_size=120)
block_texts = st.one_of(
    words_and_signs,
    st.text(min_size=1, max_size=60),
    st.integers(1, 900).map(lambda n: "x" * n),
    st.integers(1, 300).map(lambda n: "word " * n),
).filter(lambda text: text.strip() and "\0" not in text and not re.search("[\ud800-\udfff]", text))
block_lists = st.lists(
    st.builds(
        Block,
        text=block_texts,
        kind=st.sampled_from(BLOCK_KINDS),
        page=st.sampled_from([None, 1, 2]),
        heading_path=st.sampled_from([(), ("A",), ("A", "B"), ("A very long heading " * 9,)]),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(
    blocks=block_lists,
    title=st.sampled_from([None, "A", "Handbook", "long title " * 40]),
    max_tokens=st.integers(16, 80),
    tokenizer=st.sampled_from([spans, signs_per_byte]),
)
def test_every_chunk_is_exact_bounded_and_in_order_and_nothing_is_lost(blocks, title, max_tokens, tokenizer):
    text = document_text(blocks)
    chunks = chunk_blocks(blocks, title=title, token_spans=tokenizer, max_tokens=max_tokens)

    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.text.strip()
        assert chunk.embed_text.endswith(chunk.text)
        assert len(tokenizer(chunk.embed_text)) <= chunk.token_count <= max_tokens
    assert all(before.end <= after.start for before, after in pairwise(chunks))
    covered = {position for chunk in chunks for position in range(chunk.start, chunk.end)}
    assert {i for i, sign in enumerate(text) if not sign.isspace()} <= covered


def test_no_blocks_give_no_chunks():
    assert chunks_of([]) == []
    assert document_text([]) == ""


def test_a_chunk_never_spans_two_headings_or_two_pages():
    blocks = [*section("Leave", 2, 8), *section("Pay", 2, 8)]
    chunks = chunks_of(blocks, max_tokens=400)
    assert [chunk.text.split("\n")[0] for chunk in chunks] == ["Leave", "Pay"]

    pages = [Block(prose(n, 1), page=n) for n in (1, 2, 3)]
    assert [chunk.page for chunk in chunks_of(pages, max_tokens=400)] == [1, 2, 3]


def test_small_neighbours_under_the_same_heading_share_a_chunk():
    blocks = [Block("Contacts", "title")]
    for name in ("Ann", "Bob", "Cleo"):
        blocks += [Block(name, "title", heading_path=("Contacts",)), Block("Room 1.", heading_path=("Contacts", name))]

    chunks = chunks_of(blocks, max_tokens=100)

    assert len(chunks) == 2  # the heading with its first section, and the two others: one level, one chunk
    assert chunks[1].text == "Bob\n\nRoom 1.\n\nCleo\n\nRoom 1."
    assert chunks[1].heading_path == ("Contacts",)


def test_the_model_sees_title_and_headings_but_only_once():
    blocks = list(text_blocks(["# Handbook", "## Leave", prose(1, 12)]))
    chunks = chunks_of(blocks, title="Handbook", max_tokens=80)

    assert len(chunks) > 1
    assert chunks[0].embed_text.startswith("Handbook\n\nLeave\n\n")
    assert all(chunk.embed_text.startswith("Handbook > Leave\n\nWord") for chunk in chunks[1:])
    assert {chunk.heading_path for chunk in chunks} == {("Handbook", "Leave")}


def test_a_title_longer_than_the_chunk_leaves_room_for_the_text():
    chunks = chunks_of([Block(prose(1, 20))], title="Endless " * 500, max_tokens=60)

    assert all(len(chunk.text) > len(chunk.embed_text) / 2 for chunk in chunks[:-1])


def test_long_paragraphs_are_cut_between_sentences_and_tables_between_rows():
    paragraph = chunks_of([Block(prose(1, 40))])
    assert all(chunk.text.endswith(".") for chunk in paragraph)

    rows = [f"Name: person {n}; Room: {n * 7}; Telephone: {n * 31}" for n in range(60)]
    table = chunks_of([Block("\n".join(rows), "table")])
    assert [row for chunk in table for row in chunk.text.split("\n")] == rows


def test_chunks_of_running_text_are_between_half_full_and_full():
    counts = [chunk.token_count for chunk in chunks_of([Block(prose(n, 5)) for n in range(60)], max_tokens=200)]

    assert min(counts[:-1]) >= 80  # half, less what a whole paragraph that did not fit has left free
    assert 120 <= sum(counts) / len(counts) <= 200


def changed(before, after):
    """Return how many of the chunks after an edit have to be embedded."""
    return len({chunk.text_hash for chunk in after} - {chunk.text_hash for chunk in before})


@pytest.mark.parametrize("where", [0, 7, 25, 99, 160, 299])
def test_an_edit_changes_only_the_chunks_around_it(where):
    blocks = [Block(prose(n, 3), heading_path=("One",)) for n in range(300)]
    for edited in (
        [*blocks[:where], Block("An insertion.", heading_path=("One",)), *blocks[where:]],
        [*blocks[:where], *blocks[where + 1 :]],
        [*blocks[:where], Block(f"Edited. {blocks[where].text}", heading_path=("One",)), *blocks[where + 1 :]],
    ):
        before, after = chunks_of(blocks, max_tokens=120), chunks_of(edited, max_tokens=120)
        assert len(before) > 100
        assert 1 <= changed(before, after) <= 7


def test_an_edit_in_one_endless_paragraph_changes_only_the_chunks_around_it():
    text = prose("endless", 400)
    middle = text.index(".", len(text) // 2) + 2
    edited = f"{text[:middle]}One more sentence here. {text[middle:]}"

    before, after = chunks_of([Block(text)], max_tokens=120), chunks_of([Block(edited)], max_tokens=120)

    assert len(before) > 30
    assert 1 <= changed(before, after) <= 7


def test_an_edit_in_one_section_leaves_all_others_alone():
    blocks = [block for n in range(20) for block in section(f"Section {n}", 3)]
    edited = [*blocks[:10], Block("Inserted.", heading_path=blocks[9].heading_path), *blocks[10:]]

    before, after = chunks_of(blocks, max_tokens=120), chunks_of(edited, max_tokens=120)

    new = [chunk for chunk in after if chunk.text_hash not in {old.text_hash for old in before}]
    assert {chunk.heading_path for chunk in new} == {("Section 2",)}


def test_the_document_tells_the_language_of_chunks_that_do_not():
    french = "Les salariés ont droit à vingt-cinq jours de congés par an, et ils les prennent quand ils le veulent."
    blocks = [Block(french, heading_path=("A",)), Block("RTT 2024: 11", heading_path=("B",))]

    assert document_language(blocks) == "fr"
    assert [chunk.language for chunk in chunks_of(blocks)] == ["fr", "fr"]


@pytest.mark.timeout(60)  # work that grows with the square of the length does not end in this time
def test_a_book_of_three_megabytes_is_chunked():
    blocks = [block for n in range(310) for block in section(f"Chapter {n}", 12, 11)]
    assert len(document_text(blocks)) > 3_000_000

    assert len(chunks_of(blocks, max_tokens=200)) > 3000


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "hostile", ["x" * 300_000, "\n" * 100_000 + "x", "a " * 150_000, ". " * 150_000, "😀" * 50_000]
)
def test_text_without_structure_is_chunked_in_bounded_pieces(hostile):
    chunks = chunks_of([Block(hostile)], max_tokens=200)

    assert all(len(chunk.text) <= 200 * 16 for chunk in chunks)
