"""Twin worlds: whatever one user asks, two worlds that differ only in what that user may not see answer the same bytes.

The method is that of noninterference (Goguen and Meseguer, "Security policies and security models", 1982). One world
holds the user's documents; the other has sources, documents with the same words, people, groups, lists, runs, failures
and deletions besides, and its index was built at other moments. Masked are ids (by who is who), times, the
position of the change log, and Content-Length, which follows from the body.
"""

from __future__ import annotations

import itertools
import os
import shutil
from contextlib import ExitStack

import pytest

from app.settings import AppSettings
from tests.faces import face
from tests.twins import Masks, World, script

#: Pairs of answers in all.
PAIRS = int(os.environ.get("METIER_TEST_EXAMPLES") or 300)
DOCUMENTS = 120
TURNS = 3 if PAIRS <= 300 else 10  # of the script, in each pair of worlds


@pytest.fixture
def twins(tmp_path, migrated_file):
    """Return a function that opens two worlds of one seed: without and with what is hidden."""
    with ExitStack() as stack:

        def make(seed):
            stack.pop_all().close()
            worlds = []
            for hidden in (False, True):
                folder = tmp_path / f"{seed}-{hidden}"
                folder.mkdir()
                shutil.copy(migrated_file, folder / "catalog.db")
                opened = stack.enter_context(face(AppSettings.load(data_dir=folder, api_token="master")))
                worlds.append(World(opened, seed, hidden))
                worlds[-1].fill(DOCUMENTS)
            return worlds

        yield make


def replies(world, masks, seed):
    """Yield each request of the script with its answer, headers included, masked."""
    headers = {"Authorization": f"Bearer {world.key}"}
    for number, (method, path, body, kind, asked) in enumerate(script(world, seed)):
        own = headers | {"X-Request-Id": f"r{number}"}
        how = {"content": body} if isinstance(body, str) else {"json": body}
        answer = world.face.http.request(method, path, headers=own, **how)
        shown = sorted((name, value) for name, value in answer.headers.items() if name != "content-length")
        yield (
            method,
            number,
            body,
            answer.status_code,
            shown,
            masks.body(answer.text, kind, asked),
        )


@pytest.mark.timeout(7200)  # the long version
def test_two_worlds_that_differ_in_what_a_user_may_not_see_answer_that_user_alike(twins, record_property):
    compared = 0
    for seed in itertools.count():
        masks, worlds = (Masks(), Masks()), twins(seed)
        for turn in range(TURNS):
            both = zip(*(replies(w, m, f"{seed} {turn}") for w, m in zip(worlds, masks, strict=True)), strict=True)
            for one, other in both:
                assert one == other, (seed, turn)
                compared += 1
            for world in worlds:
                world.stir()
        if compared >= PAIRS:
            break
    record_property("pairs", compared)
