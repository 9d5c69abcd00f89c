"""Train the reader: where in a passage the answer to a question stands, or that it is not there.

    python benchmarks/training/train_reader.py DATA QA_TRAIN ENCODER OUT [--share 1.0]

BERT's model for SQuAD 2.0 (Devlin et al., NAACL 2019): the hidden state of each token is scored as the first and as the
last of the answer, and "no answer" is the score of [CLS]. It starts from the encoder that knows French
(train_encoder.py). Where only the sentence of the answer is known, any token of it may be the answer (the marginal
likelihood of Clark, Gardner, ACL 2018). Dropout is off: it costs three times as much on a CPU, and one to three
passes over the data do not overfit. Of the evaluation sets only articles of the part "train" are read (data.py).
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file

from benchmarks.training import bert, data
from benchmarks.training.rows import row_questions
from benchmarks.training.train_encoder import extended
from benchmarks.training.unanswerable import unanswerable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer

SEED = 20261124
MAX_TOKENS, QUESTION_TOKENS, TITLE_TOKENS = 288, 48, 24
TITLED = 0.4  # share of the examples whose passage follows its title, as it does in the product
BUDGET = 4800  # tokens of a batch
RATE = 1.2e-4
FAR = {"qamr", "fairytaleqa", "qed_nq", "afriqa_en", "squad_train_sentence", "cuad", "cloze"}  # these come earlier

Encoded = tuple[list[int], int, list[int], list[int]]  # token ids, first of the passage, starts, ends


@dataclass(frozen=True)
class Amount:
    """How many examples of one kind, and how often each."""

    most: int
    times: float = 1.0


@dataclass(frozen=True)
class Mix:
    """What one part of the training reads. *made* counts questions without an answer, made by rule of the same data."""

    gathered: dict[str, Amount]
    sets: dict[str, float]
    clozes: int = 0
    other_paragraphs: int = 1500
    made: dict[str, int] = field(default_factory=dict)
    rows: int = 0  # questions about rows of tables


MIXES = {
    "broad": Mix(
        {
            "squad_train_part": Amount(9000), "squad_train_sentence": Amount(5000), "unans_mined_en": Amount(4500),
            "qed_nq": Amount(7000), "afriqa_en": Amount(4500), "fairytaleqa": Amount(2000), "qamr": Amount(6000),
            "cuad": Amount(2000), "afriqa_fr": Amount(900, 2), "unans_mined_fr": Amount(600, 2),
            "pydocs_glossary_fr": Amount(400),
        },
        {"squad": 3.0, "piaf": 3.0, "covidqa": 1.0, "clapnq": 1.0, "spf": 1.0, "tatqa": 1.0},
        clozes=4000,
    ),
    # What is most like the questions of users, and paragraphs that only look as if they answered.
    "close": Mix(
        {
            "squad_train_part": Amount(4000), "unans_mined_en": Amount(2000), "afriqa_fr": Amount(900),
            "unans_mined_fr": Amount(600), "pydocs_glossary_fr": Amount(200),
        },
        {"squad": 2.0, "piaf": 1.0, "covidqa": 0.5, "tatqa": 0.5},
    ),
    # The longest part: all of SQuAD that there is, twice and more, and as many questions that only look answerable.
    "refusing": Mix(
        {
            "squad_train_part": Amount(9000, 2), "squad_train_sentence": Amount(5000), "unans_mined_en": Amount(2500),
            "qed_nq": Amount(4000), "afriqa_fr": Amount(900, 2), "unans_mined_fr": Amount(600, 2), "cuad": Amount(1200),
        },
        {"squad": 4.0, "piaf": 4.0, "covidqa": 1.0, "clapnq": 1.0, "spf": 2.0, "tatqa": 1.5},
        clozes=1500,
        other_paragraphs=900,
        made={
            "squad_train_part": 9000, "squad": 2600, "qed_nq": 1500, "squad_train_sentence": 1500, "piaf": 1700,
            "afriqa_fr": 500,
        },
    ),
    # The last and shortest: tables, with enough of the rest that it is not forgotten.
    "rows": Mix(
        {"squad_train_part": Amount(2500), "afriqa_fr": Amount(400), "unans_mined_en": Amount(400)},
        {"squad": 0.7, "piaf": 0.7, "tatqa": 1.0, "spf": 1.0},
        other_paragraphs=200,
        made={"squad_train_part": 1200, "squad": 500, "piaf": 300},
        rows=6500,
    ),
}  # fmt: skip


def main() -> None:
    """Train and write ``reader.safetensors``: all trained parameters and the head ``span.weight``, ``span.bias``."""
    arguments = _arguments()
    torch.manual_seed(SEED)
    torch.set_num_threads(arguments.threads)
    generator = random.Random(SEED)
    tokenizer, parameters = load_encoder(arguments.encoder)
    examples = mixed(arguments.data, arguments.qa_train, generator, arguments.share, MIXES[arguments.mix])
    encoded = [encode(tokenizer, example, generator) for example in examples]
    batches = bert.length_batches([len(ids) for ids, *_ in encoded], BUDGET, generator)
    batches = batches[-arguments.last :] if arguments.last else batches
    tokens = sum(len(encoded[i][0]) for batch in batches for i in batch)
    print(f"{sum(map(len, batches))} of {len(encoded)} examples, {tokens} tokens, {len(batches)} steps", flush=True)

    words = parameters.pop(bert.WORDS)
    trained = {name: value.requires_grad_() for name, value in parameters.items()}
    trained["span.weight"] = (torch.randn(2, bert.WIDTH) * 0.02).requires_grad_()
    trained["span.bias"] = torch.zeros(2).requires_grad_()
    if arguments.resume:
        trained = averaged(arguments.resume)
    optimizer = torch.optim.AdamW(trained.values(), lr=arguments.rate, weight_decay=0.01, fused=True)
    progress = bert.Progress(len(batches))
    arguments.out.mkdir(parents=True, exist_ok=True)
    for step, batch in enumerate(batches):
        loss = span_loss({**trained, bert.WORDS: words}, [encoded[i] for i in batch])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = arguments.rate * bert.rate(step, len(batches))
        optimizer.step()
        optimizer.zero_grad()
        progress.add(step, loss=float(loss.detach()))
        if (step + 1) % 400 == 0 or step + 1 == len(batches):
            name = "reader" if step + 1 == len(batches) else f"reader-{step + 1}"
            save_file({key: value.detach() for key, value in trained.items()}, arguments.out / f"{name}.safetensors")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the evaluation sets")
    parser.add_argument("qa_train", type=Path, help="folder of the training data")
    parser.add_argument("encoder", type=Path, help="folder that train_encoder.py wrote")
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=1.0, help="of the examples: for a learning curve")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mix", choices=MIXES, default="broad")
    parser.add_argument("--rate", type=float, default=RATE, help="highest learning rate")
    parser.add_argument("--resume", type=Path, nargs="+", help="go on from what earlier trainings wrote: their mean")
    parser.add_argument("--last", type=int, help="take only so many steps, the last ones")
    return parser.parse_args()


def averaged(files: Sequence[Path]) -> bert.Parameters:
    """Return the mean of trained weights, to be trained on.

    The mean of late checkpoints is better than the last (Izmailov et al., "Averaging weights leads to wider optima",
    UAI 2018).
    """
    states = [load_file(file) for file in files]
    means = {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}
    return {name: value.requires_grad_() for name, value in means.items()}


def load_encoder(folder: Path) -> tuple[Tokenizer, bert.Parameters]:
    """Return the longer tokenizer and the parameters that train_encoder.py wrote."""
    new = json.loads((folder / "words.json").read_text(encoding="utf-8"))
    tokenizer = extended(new)
    trained = load_file(folder / "encoder.safetensors")
    words = torch.cat([bert.base_parameters()[bert.WORDS], trained.pop("new_words")])
    return tokenizer, {**trained, bert.WORDS: words}


def mixed(sets: Path, folder: Path, generator: random.Random, share: float, mix: Mix) -> list[data.Span]:
    """Return the examples in the order of training: data that is least like the questions of users first."""
    chosen: list[data.Span] = []
    for name, amount in mix.gathered.items():
        chosen += _times(data.gathered(folder, name), amount, generator, share)
    for name, times in mix.sets.items():
        chosen += _times(data.of_set(sets, name, "train"), Amount(10**6, times), generator, share)
    for name, most in mix.made.items():
        answerable = data.of_set(sets, name, "train") if name in mix.sets else data.gathered(folder, name)
        chosen += unanswerable(answerable, SEED, int(most * share))
    chosen += row_questions(sets, int(mix.rows * share), SEED)
    piaf = data.of_set(sets, "piaf", "train")
    paragraphs: dict[str, list[str]] = {}
    article: dict[str, str] = {}
    for row in data.rows(sets / "piaf" / "norm" / "corpus.jsonl"):
        paragraphs.setdefault(row["title"], []).append(row["text"])
        article[row["text"]] = row["title"]
    asked = data.other_paragraph(piaf, paragraphs, [article[example.context] for example in piaf], SEED)
    chosen += _times(asked, Amount(mix.other_paragraphs), generator, share)
    texts = [t for title, found in paragraphs.items() if data.part_of("piaf", title) == "train" for t in found]
    texts += [r["text"] for r in data.rows(sets / "spf" / "norm" / "corpus.jsonl") if _trainable_page(r["id"])]
    texts += list(dict.fromkeys(example.context for example in data.gathered(folder, "afriqa_fr")))
    texts = [text for text in texts if len(text) > 200]
    chosen += data.cloze(texts, "fr", SEED, int(mix.clozes * share)) if mix.clozes else []
    return sorted(chosen, key=lambda example: generator.random() * 0.75 + 0.25 * (example.set not in FAR))


def _trainable_page(name: str) -> bool:
    return data.part_of("spf", name.removeprefix("spf-").split("-")[0]) == "train"


def _times(examples: list[data.Span], amount: Amount, generator: random.Random, share: float) -> list[data.Span]:
    some = generator.sample(examples, min(len(examples), amount.most))
    some = some[: int(len(some) * share)]
    whole = int(amount.times)
    return some * whole + some[: int(len(some) * (amount.times - whole))]


def encode(tokenizer: Tokenizer, example: data.Span, generator: random.Random) -> Encoded:
    """Return the tokens of "[CLS] question [SEP] title passage [SEP]" and where an answer may start and end.

    Of a passage that is too long a stretch is taken in which its answer stands; without an answer [CLS] is the answer.
    """
    question = tokenizer.encode(example.question, add_special_tokens=False).ids[:QUESTION_TOKENS]
    passage = tokenizer.encode(example.context, add_special_tokens=False)
    titled = example.title and generator.random() < TITLED
    title = tokenizer.encode(example.title, add_special_tokens=False).ids[:TITLE_TOKENS] if titled else []
    room = MAX_TOKENS - len(question) - len(title) - 3
    inside: list[tuple[int, int]] = []
    for start, end in example.spans:
        touched = [i for i, (a, b) in enumerate(passage.offsets) if a < end and b > start]
        if touched:
            inside.append((touched[0], touched[-1]))
    first = 0
    if len(passage.ids) > room:
        first = generator.randrange(len(passage.ids) - room)
        if inside:
            low, high = max(0, inside[0][1] - room + 1), min(inside[0][0], len(passage.ids) - room)
            first = generator.randint(low, high) if low <= high else inside[0][0]
    ids = passage.ids[first : first + room]
    begin = len(question) + len(title) + 2
    kept = [(a - first, b - first) for a, b in inside if a >= first and b < first + len(ids)]
    if example.exact:
        starts, ends = [begin + a for a, _ in kept], [begin + b for _, b in kept]
    else:
        starts = ends = [begin + i for a, b in kept for i in range(a, b + 1)]
    return [101, *question, 102, *title, *ids, 102], begin, starts or [0], ends or [0]


def span_logits(p: bert.Parameters, sequences: list[list[int]], begins: list[int]) -> torch.Tensor:
    """Return the logits of start and end, fp32 (n, longest, 2); -10,000 outside of passage and [CLS]."""
    ids, mask = bert.padded(sequences)
    types, allowed = torch.zeros_like(ids), torch.zeros_like(mask)
    for row, (sequence, begin) in enumerate(zip(sequences, begins, strict=True)):
        types[row, sequence.index(102) + 1 : len(sequence)] = 1
        allowed[row, begin : len(sequence) - 1] = 1
    allowed[:, 0] = 1
    states = bert.hidden_states(p, ids, mask, types).float()
    logits: torch.Tensor = states @ p["span.weight"].T + p["span.bias"]
    return logits + (1 - allowed)[:, :, None] * -10000.0


def span_loss(p: bert.Parameters, batch: list[Encoded]) -> torch.Tensor:
    """Return the mean negative log-likelihood of the right starts and ends."""
    logits = span_logits(p, [ids for ids, *_ in batch], [begin for _, begin, *_ in batch])
    right = torch.full(logits.shape, -torch.inf)
    for row, (_, _, starts, ends) in enumerate(batch):
        right[row, starts, 0] = 0
        right[row, ends, 1] = 0
    return (torch.logsumexp(logits, 1) - torch.logsumexp(logits + right, 1)).mean()


if __name__ == "__main__":
    main()
