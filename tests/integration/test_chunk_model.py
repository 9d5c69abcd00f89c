"""Chunks measured by the tokenizer of the real embedding model."""

from __future__ import annotations

import pytest

from indexing.chunk import chunk_blocks, document_text
from indexing.documents import Block
from indexing.embed import load_embedder

TEXTS = [
    "The quick brown fox jumps over the lazy dog. " * 80,
    "L'été dernier, les salariés n'avaient qu'à s'inscrire auprès de l'accueil; rien n'a changé depuis. " * 60,
    "supercalifragilisticexpialidocious" * 300,
    "https://example.org/a/very/long/path?with=parameters&and=more " * 60,
    "你好世界这是一个没有空格的长句子" * 200,
    "😀👩‍👩‍👧‍👦🏳️‍🌈 " * 300,
    "x\u0301" * 3000,
    "a1b2c3d4e5 0xDEADBEEF " * 300,
]


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    from indexing.settings import IndexingSettings

    return load_embedder(IndexingSettings(data_dir=tmp_path_factory.mktemp("data")))


@pytest.mark.parametrize("kind", ["text", "table"])
@pytest.mark.parametrize("max_tokens", [32, 200])
def test_no_chunk_is_longer_than_asked_for_by_the_models_own_count(embedder, kind, max_tokens):
    blocks = [Block(text, kind, heading_path=("Règlement intérieur", "§ 4")) for text in TEXTS]
    chunks = chunk_blocks(blocks, title="A title " * 20, token_spans=embedder.token_spans, max_tokens=max_tokens)

    text = document_text(blocks)
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.end]
        assert len(embedder.token_spans(chunk.embed_text)) <= chunk.token_count <= max_tokens
