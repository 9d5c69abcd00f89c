"""Teach the packaged MiniLM French: distillation from its own English vectors, with a longer vocabulary.

    python benchmarks/training/train_encoder.py DATA QA_TRAIN OUT [--minutes 25]

Three kinds of steps, mixed:

* translation pairs: the French side, and the English one, shall get the vector that the original model gives the
  English side (Reimers, Gurevych, "Making monolingual sentence embeddings multilingual using knowledge distillation",
  EMNLP 2020), and each French sentence shall be nearest to its own translation among those of the batch;
* English passages and questions shall keep the vectors that they have;
* French questions shall be nearest to their passage among those of the batch, and sentences to the passage they were
  taken from (Lee, Chang, Toutanova, "Latent retrieval for weakly supervised open domain question answering", ACL 2019).

Frequent French words that the English vocabulary breaks into pieces become tokens of their own, which begin as the
mean of their pieces. Of the evaluation sets only articles of the part "train" are read (see data.py).
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
import torch.nn.functional as F  # noqa: N812 -- its name everywhere
from safetensors.torch import save_file
from tokenizers import Tokenizer

from benchmarks.training import bert, data
from indexing import french

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

SEED = 20261124
NEW_WORDS = 8000
MAX_TOKENS = 200  # of a passage in training
LAYER_RATE, WORD_RATE = 1.5e-4, 1e-3
TEMPERATURE = 0.05
BUDGET = 6000  # tokens of a batch


def main() -> None:
    """Train and write ``encoder.safetensors`` (all trained parameters) and ``words.json`` (the new tokens)."""
    arguments = _arguments()
    torch.manual_seed(SEED)
    generator = random.Random(SEED)
    torch.set_num_threads(arguments.threads)
    texts = french_passages(arguments.data, arguments.qa_train)
    pairs = translations(arguments.qa_train)
    original = Tokenizer.from_file(str(bert.BASE / "tokenizer.json"))
    english = english_texts(arguments.data, arguments.qa_train)
    new = new_words(original, [*texts, *(french for _, french in pairs)], english, arguments.words)
    tokenizer = extended(new)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "words.json").write_text(json.dumps(new, ensure_ascii=False), encoding="utf-8")
    print(f"{len(pairs)} pairs, {len(texts)} French passages, {len(english)} English texts, {len(new)} new words")

    teacher = bert.base_parameters()
    student = {name: value.clone() for name, value in teacher.items()}
    fresh = torch.stack([teacher[bert.WORDS][ids].mean(0) for ids in _ids(original, new, bare=True)]).requires_grad_()
    layers = [value.requires_grad_() for name, value in student.items() if name != bert.WORDS]
    optimizer = torch.optim.AdamW(
        [{"params": layers, "lr": LAYER_RATE}, {"params": [fresh], "lr": WORD_RATE, "weight_decay": 0.0}],
        weight_decay=0.01, fused=True,
    )  # fmt: skip
    peaks = [group["lr"] for group in optimizer.param_groups]
    steps = _steps(arguments, generator, tokenizer, original, pairs, texts, english)
    progress, ended = bert.Progress(len(steps)), time.monotonic() + arguments.minutes * 60
    for number, (kind, *content) in enumerate(steps):
        whole = {**student, bert.WORDS: torch.cat([teacher[bert.WORDS], fresh])}
        loss = _LOSSES[kind](whole, teacher, *content)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([*layers, fresh], 1.0)
        share = bert.rate(number, len(steps))
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * share
        optimizer.step()
        optimizer.zero_grad()
        progress.add(number, **{kind: float(loss.detach())})
        if time.monotonic() > ended:
            sys.exit("The time is over before the steps; raise --minutes or lower --share.")
    trained = {name: value.detach() for name, value in student.items() if name != bert.WORDS}
    save_file({**trained, "new_words": fresh.detach()}, arguments.out / "encoder.safetensors")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the evaluation sets")
    parser.add_argument("qa_train", type=Path, help="folder of the training data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=60, help="stop with an error after so long")
    parser.add_argument("--share", type=float, default=1.0, help="of the steps: for a short trial")
    parser.add_argument("--words", type=int, default=NEW_WORDS)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def translations(folder: Path) -> list[tuple[str, str]]:
    """Return (English, French) sentences."""
    names = ("pairs_tatoeba_en_fr", "pairs_pydocs_en_fr")
    return [(row["a"], row["b"]) for name in names for row in data.rows(folder / f"{name}.jsonl.zst")]


def french_passages(sets: Path, folder: Path) -> list[str]:
    """Return French passages without questions: of the parts that may be trained on."""
    found = [example.context for example in data.gathered(folder, "afriqa_fr")]
    for name, most in (("piaf", 1000), ("spf", 2000), ("legalize_fr", 2500)):
        rows = list(data.rows(sets / name / "norm" / "corpus.jsonl"))
        kept = [r for r in rows if data.part_of(name, _article(name, r)) == "train" and len(r["text"]) > 200]
        found += [
            f"{row['title']}\n{row['text']}".strip() if name != "piaf" else row["text"]
            for row in random.Random(SEED).sample(kept, min(most, len(kept)))
        ]
    return list(dict.fromkeys(found))


def _article(name: str, row: dict[str, Any]) -> str:
    """Return what the row's questions call their article."""
    named = row["title"] if name == "piaf" else row["id"]
    return str(named.removeprefix("spf-").split("-")[0] if name == "spf" else named)


def english_texts(sets: Path, folder: Path) -> list[str]:
    """Return English passages and questions, whose vectors shall stay as they are."""
    examples = data.of_set(sets, "squad", "train")
    for name in ("squad_train_part", "qed_nq", "afriqa_en", "fairytaleqa", "cuad", "selqa"):
        some = data.gathered(folder, name)
        examples += random.Random(SEED).sample(some, min(2000, len(some)))
    passages = list(dict.fromkeys(example.context for example in examples))
    questions = [example.question for example in random.Random(SEED).sample(examples, 6000)]
    return [*random.Random(SEED).sample(passages, min(5000, len(passages))), *questions]


def french_questions(sets: Path, folder: Path) -> list[tuple[str, str]]:
    """Return (question, passage), French, of the parts that may be trained on."""
    examples = [
        *data.gathered(folder, "afriqa_fr"),
        *data.of_set(sets, "piaf", "train"),
        *data.of_set(sets, "spf", "train"),
    ]
    found = [(example.question, example.context) for example in examples]
    return [*found, *((row["a"], row["b"]) for row in data.rows(folder / "pairs_pydocs_faq.jsonl.zst"))]


def new_words(tokenizer: Tokenizer, texts: list[str], english: list[str], most: int) -> list[str]:
    """Return frequent words that the vocabulary breaks into pieces, those that save most tokens first.

    Words that English texts hold as often are left out, so that English is tokenised as before.
    """
    counts, others = _counts(tokenizer, texts), _counts(tokenizer, english)
    known = tokenizer.get_vocab()
    total, total_others = sum(counts.values()), sum(others.values())
    wanted = [
        word for word, count in counts.items()
        if count >= 3 and len(word) >= 4 and word.isalpha() and word not in known
        and count / total > 3 * others[word] / total_others
    ]  # fmt: skip
    pieces = {word: len(tokenizer.encode(word, add_special_tokens=False).ids) for word in wanted}
    wanted.sort(key=lambda word: (-counts[word] * (pieces[word] - 1), word))
    return wanted[:most]


def _counts(tokenizer: Tokenizer, texts: list[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        plain = tokenizer.normalizer.normalize_str(text)
        counts.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(plain))
    return counts


def extended(words: list[str]) -> Tokenizer:
    """Return the packaged tokenizer, lengthened by *words*."""
    tokenizer = Tokenizer.from_file(str(bert.BASE / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    french.lengthen(tokenizer, words)
    return tokenizer


def _ids(tokenizer: Tokenizer, texts: list[str], *, bare: bool = False) -> list[list[int]]:
    tokenizer.no_padding()
    tokenizer.no_truncation()
    encoded = tokenizer.encode_batch(texts, add_special_tokens=not bare)
    return [e.ids if bare or len(e.ids) <= MAX_TOKENS else [*e.ids[: MAX_TOKENS - 1], e.ids[-1]] for e in encoded]


def _steps(
    arguments: argparse.Namespace, generator: random.Random, tokenizer: Tokenizer, original: Tokenizer,
    pairs: list[tuple[str, str]], texts: list[str], english: list[str],
) -> list[tuple[Any, ...]]:  # fmt: skip
    """Return all steps of the training, shuffled."""
    share = arguments.share
    pairs = generator.sample(pairs, int(len(pairs) * min(1.0, share)))
    before, as_english = _ids(original, [a for a, _ in pairs]), _ids(tokenizer, [a for a, _ in pairs])
    as_french = _ids(tokenizer, [b for _, b in pairs])
    longest = [max(len(a), len(b)) for a, b in zip(as_english, as_french, strict=True)]
    steps: list[tuple[Any, ...]] = [
        ("translation", [before[i] for i in b], [as_english[i] for i in b], [as_french[i] for i in b])
        for b in bert.length_batches(longest, BUDGET // 2, generator)
    ]
    kept = generator.sample(english, int(len(english) * min(1.0, share)))
    before, after = _ids(original, kept), _ids(tokenizer, kept)
    steps += [
        ("english", [before[i] for i in b], [after[i] for i in b])
        for b in bert.length_batches([len(a) for a in after], BUDGET, generator)
    ]
    asked = french_questions(arguments.data, arguments.qa_train) * 3
    asked += [cut for text in texts for cut in _taken_out(text, generator)]
    generator.shuffle(asked)
    asked = asked[: int(len(asked) * share)]
    questions, passages = _ids(tokenizer, [q for q, _ in asked]), _ids(tokenizer, [p for _, p in asked])
    for batch in bert.length_batches([len(p) for p in passages], BUDGET, generator):
        chosen = list({asked[i][1]: i for i in batch}.values())  # a passage once, or it would be its own negative
        if len(chosen) > 1:
            steps.append(("question", [questions[i] for i in chosen], [passages[i] for i in chosen]))
    generator.shuffle(steps)
    return steps


def _taken_out(text: str, generator: random.Random) -> list[tuple[str, str]]:
    """Return a sentence of *text*, with some words left out, and the text, mostly without it."""
    sentences = list(re.finditer(r"[^.!?\n]{30,300}[.!?]", text))
    if len(sentences) < 3:
        return []
    chosen = generator.choice(sentences)
    words = [word for word in chosen[0].split() if generator.random() > 0.2]
    rest = text[: chosen.start()] + text[chosen.end() :] if generator.random() < 0.8 else text
    return [(" ".join(words), rest)]


def _likeness(vectors: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of 1 - cosine of matching rows, times 20, so that it weighs like a cross-entropy."""
    return 20 * (1 - (vectors * targets).sum(1)).mean()


def _nearest(vectors: Tensor, others: Tensor) -> Tensor:
    """Return the symmetric cross-entropy of finding the matching row (InfoNCE)."""
    scores = vectors @ others.T / TEMPERATURE
    right = torch.arange(len(scores))
    return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2


def _translation(student: bert.Parameters, teacher: bert.Parameters, before: Any, english: Any, french: Any) -> Tensor:
    with torch.no_grad():
        targets = bert.sentence_vectors(teacher, before)
    found = bert.sentence_vectors(student, french)
    some = slice(0, max(1, len(english) // 4))
    kept = bert.sentence_vectors(student, english[some])
    return _likeness(found, targets) + _nearest(found, targets) + _likeness(kept, targets[some])


def _english(student: bert.Parameters, teacher: bert.Parameters, before: Any, after: Any) -> Tensor:
    with torch.no_grad():
        targets = bert.sentence_vectors(teacher, before)
    return 3 * _likeness(bert.sentence_vectors(student, after), targets)


def _question(student: bert.Parameters, _teacher: bert.Parameters, questions: Any, passages: Any) -> Tensor:
    return 2 * _nearest(bert.sentence_vectors(student, questions), bert.sentence_vectors(student, passages))


_LOSSES: dict[str, Callable[..., Tensor]] = {"translation": _translation, "english": _english, "question": _question}

if __name__ == "__main__":
    main()
