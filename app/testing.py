"""The fakes of the serving package, shipped for its own tests and for yours: a scripted generator, a tiny model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from app.generator import GenerationRequest, Pieces

#: What the tiny model's tokenizer is trained on; its own words matter to nobody.
SENTENCES = (
    "You are entitled to twenty-five days of paid leave each year.",
    "Send the form to the human resources team before the end of the month.",
    "Vous avez droit à vingt-cinq jours de congés payés par an.",
    "Envoyez le formulaire au service des ressources humaines avant la fin du mois.",
    "Answer with the numbered passages: [1] [2] [3]. Question: how many? Réponse : combien ?",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
NO_SYSTEM_TEMPLATE = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    + CHAT_TEMPLATE
)


@dataclass
class ScriptedGenerator:
    """Yields the given pieces; can fail or hang before one of them. Computable by eye, like every fake.

    ``requests`` holds what it was asked, ``closed`` counts the generations that ended, however they ended.
    """

    pieces: Sequence[str] = ()
    finish_reason: str = "stop"
    fails_at: int | None = None  # index of the piece in whose place ``error`` is raised
    error: Exception | None = None
    hangs_at: int | None = None  # index of the piece in whose place it waits until closed or out of time
    name: str = "scripted"
    requests: list[GenerationRequest] = field(default_factory=list)
    closed: int = 0

    def generate(self, request: GenerationRequest) -> Pieces:
        """Yield the pieces; "" over and over where it hangs."""
        self.requests.append(request)
        try:
            for index in range(len(self.pieces) + 1):
                if index == self.fails_at:
                    raise self.error or RuntimeError("the generator was told to fail")
                if index == self.hangs_at:
                    return (yield from Relay(request.deadlines).pieces())
                if index < len(self.pieces):
                    yield self.pieces[index]
            return self.finish_reason
        finally:
            self.closed += 1


def build_tiny_llama(directory: Path, *, system_role: bool = True, seed: int = 0, context_tokens: int = 4096) -> Path:
    """Save a Llama with random weights, a tokenizer and a chat template in *directory*, and return it.

    About 400 kB of safetensors, made in a second, without any network. It answers with noise up to the limit
    of tokens: it is there to run the real code path (template, prefill, streaming, stopping) where no model can
    be fetched.
    *system_role* False gives it a template that refuses system messages, like that of Gemma.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<unk>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>"]
    bpe = Tokenizer(models.BPE(unk_token="<unk>"))  # noqa: S106 -- a token of a vocabulary
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(SENTENCES, trainer)
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe,
        unk_token="<unk>",  # noqa: S106
        bos_token="<s>",  # noqa: S106
        eos_token="</s>",  # noqa: S106
        additional_special_tokens=special[3:],
    )
    tokenizer.chat_template = CHAT_TEMPLATE if system_role else NO_SYSTEM_TEMPLATE

    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=64,
                intermediate_size=128,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=context_tokens,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.eos_token_id,
            )
        )
        # A row of zeros never has the highest score: no special token is ever written, so it ends at the limit only.
        model.lm_head.weight[: len(special)] = 0
    model.save_pretrained(directory, safe_serialization=True)
    tokenizer.save_pretrained(directory)
    return directory
