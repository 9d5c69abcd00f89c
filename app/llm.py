"""Causal language models in this process, through ``transformers``: one model, one thread that owns it, one queue.

Weights are read from safetensors only, and no code that comes with a model is run. A generation stops within a
layer of a prefill or within a token afterwards once nobody waits for it.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from app.errors import GeneratorError, GeneratorOverloaded, GeneratorUnusable
from app.prompt import Message, fit, fold_system
from app.relay import Relay, first_line
from indexing.threads import bound_torch

if TYPE_CHECKING:
    from app.generator import GenerationRequest, Pieces

log = structlog.get_logger()

#: Ends of a turn, for models whose settings forget to say so. The text is cut before them.
STOP_STRINGS = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "</s>", "[INST]", "<|user|>", "\nQuestion:")
LONGEST_STOP = max(len(each) for each in STOP_STRINGS)
PREFILL_TOKENS = 256  # of the prompt at a time, so that a long one can be given up in between
SHORTEST_ANSWER = 16  # tokens that must be left for an answer


class _Cancelled(Exception):
    """Nobody waits for this answer any more."""


class _Stopped(Exception):
    """A stop string was written."""


@dataclass(frozen=True)
class _Loaded:
    model: Any  # transformers.PreTrainedModel
    tokenizer: Any  # transformers.PreTrainedTokenizerBase
    system_role: bool  # the chat template has one
    context_tokens: int


@dataclass(frozen=True)
class _Job:
    request: GenerationRequest
    relay: Relay


class LocalGenerator:
    """A causal model that answers one question after the other.

    The model is loaded by ``load()`` or by the first question, in the thread that will run it.
    """

    def __init__(
        self, model: str, *, context_tokens: int = 4096, queue_length: int = 8, threads: int | None = None
    ) -> None:
        """Remember what to load; nothing is read yet.

        *model* is a directory or a hub name; *queue_length* questions may wait beside the one that is answered.
        """
        self.name = model
        self._context_tokens = context_tokens
        self._places = 1 + queue_length
        self._threads = threads
        self._waiting: deque[_Job] = deque()
        self._running: _Job | None = None
        self._changed = threading.Condition()
        self._loading = threading.Lock()
        self._loaded: _Loaded | None = None
        self._worker: threading.Thread | None = None
        self._closed = False

    def generate(self, request: GenerationRequest) -> Pieces:
        """Yield the model's text, "" while waiting. Raises GeneratorOverloaded, Timeout, Unusable or GeneratorError."""
        relay = Relay(request.deadlines)
        self._submit(_Job(request, relay))
        return (yield from relay.pieces())

    @property
    def busy(self) -> int:
        """The number of questions that are answered or wait; those that nobody waits for any more do not count."""
        with self._changed:
            return self._count()

    @property
    def working(self) -> bool:
        """Whether the model is at a question, be it one that nobody waits for any more."""
        return self._running is not None

    def load(self) -> None:
        """Load the model now, in the calling thread. Raises GeneratorUnusable, naming the setting."""
        with self._loading:  # the worker may be at it already
            if self._loaded is None:
                self._loaded = _load(self.name, self._context_tokens)

    def close(self) -> None:
        """Stop the worker after the token it is at, and let go of the model."""
        with self._changed:
            self._closed = True
            for job in (*self._waiting, *([self._running] if self._running else [])):
                job.relay.cancelled.set()
            self._changed.notify_all()
            worker = self._worker
        if worker is not None:
            worker.join(timeout=10)
        self._loaded = None

    def _count(self) -> int:
        jobs = (*self._waiting, *([self._running] if self._running else []))
        return sum(not job.relay.cancelled.is_set() for job in jobs)

    def _submit(self, job: _Job) -> None:
        with self._changed:
            if self._closed:
                raise GeneratorUnusable("The generator is shutting down.", remedy="Ask again after the restart.")
            if self._count() >= self._places:
                raise GeneratorOverloaded(f"{self._places - 1} questions are already waiting for the generator.")
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="generator", daemon=True)
                self._worker.start()
            self._waiting.append(job)
            self._changed.notify()

    def _work(self) -> None:
        while (job := self._next_job()) is not None:
            bound_torch(self._threads)  # each time: embedding the question has set it to one, for the whole process
            try:
                self.load()
                assert self._loaded is not None  # noqa: S101 -- load() returned
                job.relay.finish(_run(self._loaded, job))
            except GeneratorError as exc:
                job.relay.fail(exc)
            except _Cancelled:
                job.relay.finish("cancelled")
            except Exception as exc:  # the seam: a model may raise anything, and the thread must go on
                log.exception("The model failed.", action="generator_failed", model=self.name)
                job.relay.fail(GeneratorError(f"The model {self.name} failed: {type(exc).__name__}: {exc}"))
            finally:
                with self._changed:
                    self._running = None

    def _next_job(self) -> _Job | None:
        """Return the next question that someone still waits for; None when closed."""
        with self._changed:
            while True:
                if self._closed:
                    return None
                while self._waiting:
                    job = self._waiting.popleft()
                    if not job.relay.cancelled.is_set():
                        self._running = job
                        return job
                self._changed.wait()


def _run(loaded: _Loaded, job: _Job) -> str:
    """Generate, handing pieces to the relay as they come; return "stop" or "length"."""
    import torch

    request, cancelled = job.request, job.relay.cancelled
    answer_tokens = min(request.max_tokens, max(SHORTEST_ANSWER, loaded.context_tokens // 2))
    messages = fit(request, loaded.context_tokens - answer_tokens, lambda each: _prompt_ids(loaded, each).shape[-1])
    ids = _prompt_ids(loaded, messages)
    room = loaded.context_tokens - ids.shape[-1]
    if room < min(SHORTEST_ANSWER, answer_tokens):
        raise GeneratorError(
            f"The question and the instructions alone fill the {loaded.context_tokens} tokens of a prompt.",
            remedy="Ask a shorter question, shorten the specialist's instructions, or raise METIER_CONTEXT_TOKENS.",
        )
    ids = ids.to(loaded.model.device)
    sink = _TokenSink(loaded.tokenizer, job.relay)

    def check(*_: Any) -> None:
        if cancelled.is_set():
            raise _Cancelled

    hooks = [layer.register_forward_pre_hook(check) for layer in _layers(loaded.model)]
    try:
        with torch.inference_mode():
            loaded.model.generate(
                inputs=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=min(answer_tokens, room),
                do_sample=False,
                streamer=sink,
                prefill_chunk_size=PREFILL_TOKENS if ids.shape[-1] > PREFILL_TOKENS else None,
            )
    except _Stopped:
        return "stop"
    finally:
        for hook in hooks:
            hook.remove()
    sink.end()
    return "length" if sink.count >= min(answer_tokens, room) and not sink.ended else "stop"


def _layers(model: Any) -> list[Any]:
    """Return the blocks of the model: whatever stands in a list of modules."""
    from torch import nn

    return [layer for module in model.modules() if isinstance(module, nn.ModuleList) for layer in module]


class _TokenSink:
    """What ``generate`` streams token ids into: decodes them and hands stable text to the relay."""

    def __init__(self, tokenizer: Any, relay: Relay) -> None:
        self.count = 0
        self.ended = False
        self._tokenizer = tokenizer
        self._relay = relay
        self._ids: list[int] = []
        self._sent = 0
        self._prompt_seen = False

    def put(self, value: Any) -> None:
        """Take the prompt (the first call) or the next token ids."""
        if self._relay.cancelled.is_set():
            raise _Cancelled
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        ids = value.flatten().tolist()
        self.count += len(ids)
        self._ids += ids
        text = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        found = [text.find(each, max(0, self._sent - LONGEST_STOP)) for each in STOP_STRINGS]
        stop = min((at for at in found if at >= 0), default=-1)
        if stop >= 0:
            self._send(text[:stop])
            raise _Stopped
        self._send(text[: len(text) - _unsettled(text)])

    def end(self) -> None:
        """Hand over what was held back; there are no more tokens."""
        if self._ids:
            self.ended = self._ids[-1] in self._end_ids()
            self._send(self._tokenizer.decode(self._ids, skip_special_tokens=True))
            self._ids = []

    def _end_ids(self) -> set[int]:
        return {self._tokenizer.eos_token_id}

    def _send(self, text: str) -> None:
        if len(text) > self._sent:
            self._relay.put(text[self._sent :])
            self._sent = len(text)


def _unsettled(text: str) -> int:
    """Return how many characters at the end may still change: half a character, or the beginning of a stop string."""
    if text.endswith("\ufffd"):
        return len(text) - len(text.rstrip("\ufffd"))
    for size in range(min(LONGEST_STOP, len(text)), 0, -1):
        if any(each.startswith(text[-size:]) for each in STOP_STRINGS):
            return size
    return 0


def _prompt_ids(loaded: _Loaded, messages: tuple[Message, ...]) -> Any:
    """Return the prompt's token ids, (1, n). Control tokens that stand in a message are encoded as plain text."""
    chat = messages if loaded.system_role else fold_system(messages)
    encoded = loaded.tokenizer.apply_chat_template(
        [{"role": each.role, "content": each.content} for each in chat],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        sanitize_control_tokens=True,
        enable_thinking=False,  # for templates that know it: an answer, not a monologue
    )
    return encoded["input_ids"]


def _load(name: str, context_tokens: int) -> _Loaded:
    """Return the loaded model. Raises GeneratorUnusable that says what is missing and names the setting."""
    _check_directory(name)
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        # Some instruct models (Ministral 3 among them) are filed under image-and-text, and answer text all the same.
        family = AutoModelForCausalLM if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING else AutoModelForImageTextToText
        loader: Any = family  # typed as returning a model alone
        model, loading = loader.from_pretrained(
            name, dtype="auto", use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    except Exception as exc:  # the seam: loaders raise anything, and all of it means the same
        raise GeneratorUnusable(f"METIER_GENERATOR_MODEL is {name}, which cannot be loaded: {first_line(exc)}") from exc
    if missing := sorted(loading["missing_keys"]):
        # transformers would fill them with random numbers and go on.
        raise GeneratorUnusable(
            f"METIER_GENERATOR_MODEL is {name}, whose files lack {len(missing)} of the model's weights: {missing[0]} …"
        )
    if not getattr(tokenizer, "chat_template", None):
        raise GeneratorUnusable(f"METIER_GENERATOR_MODEL is {name}, which has no chat template.")
    model.eval()
    loaded = _Loaded(model, tokenizer, _has_system_role(name, tokenizer), _context(model.config, context_tokens))
    log.info("The model is loaded.", action="generator_loaded", model=name, context_tokens=loaded.context_tokens)
    return loaded


def _check_directory(name: str) -> None:
    """Raise GeneratorUnusable for a path that is no directory of a safetensors model; a hub name passes."""
    path = Path(name).expanduser()
    looks_like_path = name.startswith((".", "/", "~")) or name.count("/") > 1
    if not path.exists():
        if looks_like_path:
            raise GeneratorUnusable(f"METIER_GENERATOR_MODEL is {name}, and there is no such directory.")
        return
    if not path.is_dir():
        raise GeneratorUnusable(f"METIER_GENERATOR_MODEL is {name}, which is not a directory.")
    if not any(path.glob("*.safetensors")):
        raise GeneratorUnusable(f"METIER_GENERATOR_MODEL is {name}, which holds no safetensors weights.")


def _has_system_role(name: str, tokenizer: Any) -> bool:
    """Say whether the chat template takes a system message.

    Raises GeneratorUnusable when it does not even take a question.
    """
    from jinja2 import TemplateError

    def rendered(messages: list[dict[str, str]]) -> str:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    user = {"role": "user", "content": "a question"}
    try:
        rendered([user])
    except (TemplateError, TypeError, ValueError) as exc:
        raise GeneratorUnusable(f"METIER_GENERATOR_MODEL is {name}, whose chat template fails: {exc}") from exc
    try:
        return "some rules" in rendered([{"role": "system", "content": "some rules"}, user])
    except (TemplateError, TypeError, ValueError):
        return False  # these templates raise "System role not supported"


def _context(config: Any, wanted: int) -> int:
    """Return the tokens of prompt and answer together: the setting, or the model's own limit when that is less."""
    text_config = config.get_text_config() if hasattr(config, "get_text_config") else config
    limit = getattr(text_config, "max_position_embeddings", None)
    return min(wanted, limit) if isinstance(limit, int) and limit > 0 else wanted
