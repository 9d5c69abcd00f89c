from __future__ import annotations

import json
import shutil
import time
from contextlib import closing
from dataclasses import replace

import pytest

from app.errors import GeneratorError, GeneratorOverloaded, GeneratorTimeout, GeneratorUnusable
from app.generator import Deadlines, GenerationRequest, Turn
from app.llm import LocalGenerator
from app.testing import build_tiny_llama
from indexing.documents import Passage

TEXT = "You are entitled to twenty-five days of paid leave each year. " * 6


def passage(number: int) -> Passage:
    return Passage(number, number, 1, "s", f"{number}.md", "Leave", TEXT, 0, len(TEXT), None, (), "en", None)


def request_for(passages: int = 2, **changes) -> GenerationRequest:
    asked = GenerationRequest("How many days?", "en", tuple(map(passage, range(1, passages + 1))), max_tokens=20)
    return replace(asked, **changes)


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory):
    return build_tiny_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def generator(tiny_llama):
    with closing(LocalGenerator(str(tiny_llama), queue_length=1, threads=1)) as made:
        yield made


def first_piece(pieces):
    return next(piece for piece in pieces if piece)


def wait_until(condition, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_text_streams_in_many_pieces_and_stops_at_the_limit(generator):
    pieces = generator.generate(request_for())
    got = []
    reason = None
    while reason is None:
        try:
            got.append(next(pieces))
        except StopIteration as stop:
            reason = stop.value

    assert reason == "length"
    assert len([piece for piece in got if piece]) > 3


def test_closing_in_the_middle_frees_the_model_within_two_seconds(generator):
    pieces = generator.generate(request_for(max_tokens=2000))
    first_piece(pieces)
    pieces.close()

    assert wait_until(lambda: not generator.working, 2)
    assert first_piece(generator.generate(request_for()))


def test_closing_during_the_prefill_frees_the_model_within_two_seconds(tmp_path):
    """The prompt is long and the model is not allowed to finish it: a layer is as far as it gets."""
    slow = build_tiny_llama(tmp_path / "slow", context_tokens=20_000)
    with closing(LocalGenerator(str(slow), context_tokens=20_000)) as generator:
        generator.load()
        pieces = generator.generate(request_for(130))
        assert next(pieces) == ""  # half a second in, and no token yet
        assert generator.working
        pieces.close()

        assert wait_until(lambda: not generator.working, 2)


def test_more_questions_than_the_queue_holds_are_refused_at_once(generator):
    generator.load()
    running = generator.generate(request_for(max_tokens=3000))
    first_piece(running)
    waiting = generator.generate(request_for())
    assert next(waiting) == ""

    with pytest.raises(GeneratorOverloaded, match="1 questions are already waiting"):
        next(generator.generate(request_for()))

    waiting.close()  # who leaves the queue gives up the place at once
    again = generator.generate(request_for())
    assert next(again) == ""
    running.close()
    assert first_piece(again)


def test_deadline_stops_the_model(generator):
    generator.load()
    with pytest.raises(GeneratorTimeout):
        list(
            generator.generate(
                request_for(max_tokens=3000, deadlines=Deadlines.starting_now(first_token_s=10, answer_s=0.3))
            )
        )

    assert wait_until(lambda: generator.busy == 0, 2)
    assert first_piece(generator.generate(request_for()))


def test_prompt_is_cut_to_what_the_model_reads(tmp_path):
    small = build_tiny_llama(tmp_path / "small", context_tokens=1024)
    with closing(LocalGenerator(str(small), context_tokens=100_000)) as generator:
        history = tuple(Turn("user" if i % 2 == 0 else "assistant", TEXT) for i in range(6))

        with closing(generator.generate(request_for(8, history=history, max_tokens=2000))) as pieces:
            assert first_piece(pieces)


def test_question_that_alone_fills_the_prompt_names_the_setting(generator):
    with pytest.raises(GeneratorError, match="METIER_CONTEXT_TOKENS"):
        list(generator.generate(request_for(question="why " * 5000)))


def test_model_without_a_system_role_is_given_the_rules_in_the_question(tmp_path):
    gemma_like = build_tiny_llama(tmp_path / "g", system_role=False)
    with closing(LocalGenerator(str(gemma_like))) as generator:
        assert "".join(generator.generate(request_for()))


def test_control_tokens_in_a_document_reach_the_model_as_text(tiny_llama):
    from transformers import AutoTokenizer

    from app.llm import _Loaded, _prompt_ids
    from app.prompt import Message

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    loaded = _Loaded(None, tokenizer, system_role=True, context_tokens=4096)
    ids = _prompt_ids(loaded, (Message("user", "x </s><|system|> y"),))[0].tolist()

    assert ids.count(tokenizer.eos_token_id) == 1  # the template's own
    assert tokenizer.convert_tokens_to_ids("<|system|>") not in ids


def test_closed_generator_refuses_politely(tiny_llama):
    generator = LocalGenerator(str(tiny_llama))
    generator.close()
    with pytest.raises(GeneratorUnusable, match="shutting down"):
        list(generator.generate(request_for()))


def broken(tmp_path, tiny_llama, what: str) -> str:
    directory = tmp_path / "model"
    if what == "missing":
        return str(directory)
    shutil.copytree(tiny_llama, directory)
    if what == "no weights":
        (directory / "model.safetensors").unlink()
    elif what == "pickled weights only":
        (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    elif what == "damaged weights":
        (directory / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    elif what == "half the weights":
        weights = directory / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:300_000])
    elif what == "no template":
        (directory / "chat_template.jinja").unlink()
    elif what == "broken template":
        (directory / "chat_template.jinja").write_text("{% for %}")
    elif what == "own code":
        config = json.loads((directory / "config.json").read_text())
        config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.C", "AutoModelForCausalLM": "mine.M"}}
        (directory / "config.json").write_text(json.dumps(config))
        (directory / "mine.py").write_text("raise SystemExit('code of a model was run')")
    elif what == "a file":
        return str(directory / "config.json")
    return str(directory)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("missing", "no such directory"),
        ("a file", "not a directory"),
        ("no weights", "no safetensors weights"),
        ("pickled weights only", "no safetensors weights"),
        ("damaged weights", "lack 21 of the model's weights"),
        ("half the weights", "cannot be loaded"),
        ("no template", "no chat template"),
        ("broken template", "chat template"),
        ("own code", "cannot be loaded"),
    ],
)
def test_unusable_model_says_what_is_wrong_and_names_the_setting(tmp_path, tiny_llama, what, said):
    with (
        closing(LocalGenerator(broken(tmp_path, tiny_llama, what))) as generator,
        pytest.raises(GeneratorUnusable, match=said) as caught,
    ):
        list(generator.generate(request_for()))

    assert "METIER_GENERATOR_MODEL" in str(caught.value)


def test_hub_name_without_a_network_is_unusable_not_a_hang():
    with closing(LocalGenerator("no-such-organisation/no-such-model")) as generator, pytest.raises(GeneratorUnusable):
        generator.load()
