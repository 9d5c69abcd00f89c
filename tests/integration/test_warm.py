"""What a server loads before it calls itself ready."""

from __future__ import annotations

from app import wiring
from app.reading import TrainedReader
from app.testing import WordReader
from indexing.testing import FakeParsers, HashEmbedder


def test_the_first_question_finds_the_reader_loaded(sqlite_catalog, settings):
    class Watched(WordReader):
        def read(self, question, passages):
            asked.append(len(passages))
            return super().read(question, passages)

    asked: list[int] = []
    fakes = {"embedder": HashEmbedder(), "parsers": FakeParsers(), "reads": Watched()}

    wiring.warm(wiring.build(settings(), catalog=sqlite_catalog, **fakes))

    assert asked == [1]  # without a passage a reader loads nothing


def test_the_packaged_reader_can_read_so_short_a_text(sqlite_catalog, settings):
    fakes = {"embedder": HashEmbedder(), "parsers": FakeParsers()}

    wiring.warm(wiring.build(settings(), catalog=sqlite_catalog, reads=TrainedReader(), **fakes))
