"""The packaged MiniLM, taught French: the words that its tokenizer gains and the changes to its weights.

Both were made by ``benchmarks/training/train_encoder.py`` and come with the program; the card beside them says on what
data and with what scores. The changes are added to the packaged weights when these are loaded, so speed and memory
are those of the original.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexing.deltas import added, read_deltas

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tokenizers import Tokenizer
    from torch import Tensor

WEIGHTS = Path(__file__).parent / "weights" / "french.safetensors"
WORDS = Path(__file__).parent / "weights" / "french_words.txt"
FILES = (WEIGHTS, WORDS)
EMBEDDINGS = "embeddings.word_embeddings.weight"
_NEW = "new_words"  # the vectors of the new words, in the order of the file of words


def lengthen(tokenizer: Tokenizer, words: Sequence[str] | None = None) -> None:
    """Teach *tokenizer*, in place, *words* (those that come with the program) as whole tokens after its others."""
    from tokenizers.models import WordPiece

    new = WORDS.read_text(encoding="utf-8").split() if words is None else words
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    size = len(vocabulary)
    vocabulary.update({word: size + number for number, word in enumerate(new)})
    tokenizer.model = WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100)  # noqa: S106 -- a token


def tokenizer_of(directory: Path) -> Tokenizer:
    """Return the tokenizer of the packaged model in *directory*, lengthened; it neither pads nor truncates."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    lengthen(tokenizer)
    return tokenizer


def taught(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the packaged *parameters*, by their names in transformers' BertModel, with what was learned."""
    import torch

    deltas = read_deltas(WEIGHTS)
    learned = added(parameters, deltas)
    learned[EMBEDDINGS] = torch.cat([parameters[EMBEDDINGS], deltas[_NEW]])
    return learned


def teach(model: Any, tokenizer: Any) -> None:
    """Change transformers' *model* (a BertModel) and fast *tokenizer* in place."""
    lengthen(tokenizer.backend_tokenizer)
    parameters = taught(dict(model.named_parameters()))
    model.resize_token_embeddings(len(parameters[EMBEDDINGS]), mean_resizing=False)
    model.load_state_dict(parameters, strict=False)
