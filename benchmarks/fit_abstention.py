"""Fits "I don't know" on training data: when do the documents answer a question, and which sentence does it.

    python benchmarks/fit_abstention.py TRAIN [--write] [--workdir DIR] [--cap 350]

TRAIN is a folder of ``NAME.jsonl.zst`` (or ``.jsonl``) with {"id", "lang", "title", "context", "question", "answers",
"answerable"}; never the sets that quality is reported on. Small companies are made of it: some articles are indexed
whole, of others a paragraph is held out, the rest is absent. Questions go through the product's own retrieval.
A question counts as answerable when the paragraph that it was written for was retrieved, as not answerable when that
paragraph is not there (and no retrieved passage holds its answer). Two logistic models are fitted on
that, halves weighted equally: sentence by sentence, and question by question. The threshold is the one that
maximises the mean of "answerable questions answered" and "others refused", in cross-validation by corpus.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from app import abstain, evidence
from app.reader import choose
from app.retrieve import retrieve
from app.settings import AppSettings
from app.terms import fold
from benchmarks.answers import f1, holds
from benchmarks.corpora import EvaluationSet, indexed
from indexing import access
from indexing.embed import load_embedder
from indexing.search import SearchIndex
from indexing.tables import LOCAL_PRINCIPAL_ID

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    import numpy.typing as npt

    from indexing.documents import Passage
    from indexing.embed import Embedder

SOURCES = {
    "en": ("squad_train_part", "afriqa_en", "qed_nq", "selqa"),
    "fr": ("afriqa_fr", "pydocs_glossary_fr"),
}
MINED = {"en": "unans_mined_en", "fr": "unans_mined_fr"}
#: (language, paragraphs): companies of several sizes, because scores depend on how much else there is.
CORPORA = (("en", 60), ("en", 200), ("en", 600), ("fr", 60), ("fr", 200), ("fr", 500))
HELD_OUT = 0.25  # share of an article's paragraphs that are left out
RIDGE = 1.0
SEED = 20
TARGET_FILE = Path(__file__).parent.parent / "app" / "abstention.json"


@dataclass(frozen=True)
class Asked:
    """One training question and where its answer stands."""

    question: str
    context: str
    answers: tuple[tuple[str, int], ...]  # text, first character in the context
    language: str


@dataclass(frozen=True)
class Observed:
    """What the product measured for one question."""

    corpus: int
    language: str
    question: str
    answers: tuple[str, ...]
    passages: tuple[Passage, ...]
    sentences: tuple[evidence.Sentence, ...]
    labels: tuple[int, ...]  # of the sentences: 1 holds the answer, 0 does not, -1 unknown
    answerable: bool


class Remembering:
    """An embedder that embeds each text once."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._seen: dict[tuple[str, str], npt.NDArray[np.float32]] = {}
        self.fingerprint, self.dimension, self.max_tokens = (
            embedder.fingerprint,
            embedder.dimension,
            embedder.max_tokens,
        )
        self.token_spans = embedder.token_spans

    def embed_passages(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one row for each text."""
        return self._rows("passage", texts)

    def embed_questions(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one row for each question."""
        return self._rows("question", texts)

    def _rows(self, kind: str, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        missing = sorted({text for text in texts if (kind, text) not in self._seen})
        embed = self._embedder.embed_passages if kind == "passage" else self._embedder.embed_questions
        for text, row in zip(missing, embed(missing) if missing else (), strict=True):
            self._seen[kind, text] = row
        return np.asarray([self._seen[kind, text] for text in texts], dtype=np.float32).reshape(-1, self.dimension)


def read(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of one training set."""
    plain, packed = folder / f"{name}.jsonl", folder / f"{name}.jsonl.zst"
    text = (
        plain.read_text(encoding="utf-8")
        if plain.exists()
        else subprocess.run(["zstd", "-dcq", str(packed)], check=True, capture_output=True).stdout.decode()  # noqa: S607
    )
    return [json.loads(line) for line in text.splitlines()]


def companies(folder: Path, cap: int) -> Iterable[tuple[str, dict[str, tuple[str, str]], list[tuple[Asked, bool]]]]:
    """Yield (language, documents, questions with "its paragraph is there") for each of CORPORA."""
    chance = random.Random(SEED)
    for language, names in SOURCES.items():
        rows = [row for name in names for row in read(folder, name)]
        mined = {row["id"].partition("-")[2]: row["context"] for row in read(folder, MINED[language])}
        by_title: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            by_title[row["title"] or row["context"]].append(row)  # without a title, a paragraph is its own article
        for size in (size for each, size in CORPORA if each == language):
            yield language, *_company(by_title, mined, size, cap, chance)


def _company(
    by_title: dict[str, list[dict[str, Any]]], mined: dict[str, str], size: int, cap: int, chance: random.Random
) -> tuple[dict[str, tuple[str, str]], list[tuple[Asked, bool]]]:
    titles = sorted(by_title)
    chance.shuffle(titles)
    there: dict[str, str] = {}  # context → title
    near: set[str] = set()
    for title in titles:
        if len(there) >= size:
            break
        for context in dict.fromkeys(row["context"] for row in by_title[title]):
            if chance.random() < HELD_OUT:
                near.add(context)
            elif len(there) < size:
                there[context] = title
    near -= there.keys()
    documents = {f"d{i}": ("" if title == text else title, text) for i, (text, title) in enumerate(there.items())}
    rows = [row for title in titles for row in by_title[title] if row["answerable"]]
    groups = _grouped(rows, mined, there.keys(), near)
    for group in groups.values():
        chance.shuffle(group)
    questions = [(asked, True) for asked in groups["there"][:cap]]
    questions += [(asked, False) for name in ("near", "look-alike", "far") for asked in groups[name][: cap // 3]]
    return documents, questions


def _grouped(
    rows: Iterable[dict[str, Any]], mined: dict[str, str], there: Collection[str], near: Collection[str]
) -> dict[str, list[Asked]]:
    """Return the questions by where their paragraph is: there, left out of an article that is there, elsewhere."""
    groups: dict[str, list[Asked]] = {"there": [], "near": [], "look-alike": [], "far": []}
    for row in rows:
        answers = tuple((each["text"], each["start"]) for each in row["answers"])
        asked = Asked(row["question"], row["context"], answers, row["lang"])
        if row["context"] in there:
            groups["there"].append(asked)
        elif row["context"] in near:
            groups["near"].append(asked)
        elif mined.get(row["id"]) in there:
            groups["look-alike"].append(asked)
        else:
            groups["far"].append(asked)
    return groups


def observe(folder: Path, workdir: Path, cap: int) -> list[Observed]:
    """Return what retrieval and the reader measured for every training question."""
    embedder = Remembering(load_embedder(AppSettings.load()))
    neutral = (0.0,) * (len(evidence.SENTENCE_FEATURES) + 1)
    observed: list[Observed] = []
    for number, (language, documents, questions) in enumerate(companies(folder, cap)):
        settings = AppSettings.load(data_dir=workdir / f"train{number}")
        catalog = indexed(EvaluationSet("train", documents, (), {}), settings, embedder)
        index = SearchIndex(catalog, embedder, settings)
        with catalog.reading() as session:
            scope = access.authorise(session, LOCAL_PRINCIPAL_ID)
        texts = {uri: text for uri, (_, text) in documents.items()}
        kept = 0
        for asked, there in questions:
            found = retrieve(
                asked.question, scope=scope, catalog=catalog, index=index, embedder=embedder, top_k=settings.top_k
            )
            sentences = evidence.weigh(asked.question, found.passages, found.language, embedder, neutral)
            labels = tuple(_label(asked, found.passages[s.passage], s, texts) for s in sentences)
            if not there and any(label != 0 for label in labels):
                continue  # the answer seems to stand elsewhere too
            kept += 1
            gold = there and any(texts[passage.uri] == asked.context for passage in found.passages)
            if sentences and (gold or not there):
                observed.append(
                    Observed(
                        number,
                        language,
                        asked.question,
                        tuple(text for text, _ in asked.answers),
                        found.passages,
                        sentences,
                        labels,
                        answerable=gold,
                    )
                )
        print(f"  {language} {len(documents):>5} paragraphs: {kept} questions", flush=True)
        catalog.close()
    return observed


def _label(asked: Asked, passage: Passage, sentence: evidence.Sentence, texts: dict[str, str]) -> int:
    """Return 1 when the sentence holds the answer where it was marked, -1 when it only has the same words."""
    same_words = any(fold(answer) in fold(sentence.text) for answer, _ in asked.answers if len(answer) > 2)
    if texts[passage.uri] != asked.context:
        return -1 if same_words else 0
    for answer, _ in asked.answers:
        # A paragraph stands in its document without its own line breaks: the words decide, in this paragraph.
        if fold(answer) in fold(sentence.text):
            return 1
        if len(answer) > 60 and fold(sentence.text) in fold(answer):
            return 1  # the answer is several sentences long
    return 0


def logistic(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], w: npt.NDArray[np.float64]) -> list[float]:
    """Return weights and bias of a ridge logistic regression, by Newton's method; the bias is not held back."""
    mean, scale = x.mean(0), np.maximum(x.std(0), 1e-9)
    rows = np.hstack([(x - mean) / scale, np.ones((len(x), 1))])
    penalty = np.diag([RIDGE] * x.shape[1] + [0.0])
    beta = np.zeros(rows.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(rows @ beta, -30, 30)))
        gradient = rows.T @ (w * (y - p)) - penalty @ beta
        step = np.linalg.solve((rows * (w * p * (1 - p))[:, None]).T @ rows + penalty, gradient)
        beta += step
        if np.abs(step).max() < 1e-8:
            break
    weights = beta[:-1] / scale
    return [*weights.tolist(), float(beta[-1] - weights @ mean)]


def probabilities(x: npt.NDArray[np.float64], weights: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the logistic model's probability for each row."""
    result: npt.NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(x @ np.asarray(weights[:-1]) + weights[-1], -30, 30)))
    return result


def fit_sentences(observed: Sequence[Observed]) -> list[float]:
    """Return the weights of SENTENCE_FEATURES and the bias; English and French count equally."""
    rows, labels, weights = [], [], []
    share = _shares([each.language for each in observed if each.answerable])
    for each in (each for each in observed if each.answerable):
        known = [(s, label) for s, label in zip(each.sentences, each.labels, strict=True) if label >= 0]
        rows += [s.features for s, _ in known]
        labels += [label for _, label in known]
        weights += [share[each.language]] * len(known)
    return logistic(np.asarray(rows, float), np.asarray(labels, float), np.asarray(weights, float))


def sweep_further_share(observed: Sequence[Observed], sentence_weights: Sequence[float]) -> None:
    """Print what quoting more sentences gives: the reason for ``app.reader.FURTHER_SHARE``."""
    for share in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        held, scores, counts = [], [], []
        for each in (each for each in observed if each.answerable):
            quotes = choose(evidence.ranked(each.sentences, sentence_weights), each.passages, further_share=share)
            text = " ".join(each.passages[quote.passage].text[quote.start : quote.end] for quote in quotes)
            held.append(holds(text, each.answers))
            scores.append(f1(text, each.answers))
            counts.append(len(quotes))
        means = [float(np.mean(each)) for each in (held, scores, counts)]
        print(f"  further share {share}: holds {means[0]:.3f}  F1 {means[1]:.3f}  quotes {means[2]:.2f}")


def _shares(keys: Sequence[Any]) -> dict[Any, float]:
    """Return a weight for each key, so that all keys weigh the same in sum and 1 on average."""
    counts = {key: keys.count(key) for key in set(keys)}
    return {key: len(keys) / (len(counts) * count) for key, count in counts.items()}


def answer_rows(observed: Sequence[Observed], sentence_weights: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return one row of ANSWER_FEATURES for each question."""
    rows = []
    for each in observed:
        ranked = evidence.ranked(each.sentences, sentence_weights)
        language = each.language if each.language == "fr" else "en"
        rows.append(abstain.answer_features(each.question, each.passages, ranked, language))
    return np.asarray(rows, float)


def cross_validated(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], w: npt.NDArray[np.float64], folds: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the probability of each question by a model that never saw its fold."""
    out = np.zeros(len(y))
    for fold_number in np.unique(folds):
        held = folds == fold_number
        out[held] = probabilities(x[held], logistic(x[~held], y[~held], w[~held]))
    return out


def balanced(p: npt.NDArray[np.float64], y: npt.NDArray[np.float64], threshold: float) -> float:
    """Return the mean of "answerable answered" and "others refused"."""
    answered = p >= threshold
    return float((answered[y == 1].mean() + (~answered)[y == 0].mean()) / 2)


def area(p: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    """Return the area under the ROC curve: how often an answerable question stands above another (Mann-Whitney)."""
    order = np.argsort(np.argsort(p))
    positives = y == 1
    n, m = int(positives.sum()), int((~positives).sum())
    return float((order[positives].sum() - n * (n - 1) / 2) / (n * m))


def main() -> None:
    """Fit, print what cross-validation says, and write app/abstention.json with --write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("--workdir", type=Path)
    parser.add_argument("--cap", type=int, default=350, help="questions of each kind from each corpus")
    parser.add_argument("--write", action="store_true", help=f"replace {TARGET_FILE.name}")
    options = parser.parse_args()
    workdir = options.workdir or Path(tempfile.mkdtemp(prefix="metier-fit-"))
    observed = observe(options.train, workdir, options.cap)

    sentence_weights = fit_sentences(observed)
    hits = [evidence.ranked(each.sentences, sentence_weights)[0] for each in observed if each.answerable]
    by_key = [
        {(s.passage, s.start): label for s, label in zip(each.sentences, each.labels, strict=True)}
        for each in observed
        if each.answerable
    ]
    top = np.mean([labels[hit.passage, hit.start] == 1 for hit, labels in zip(hits, by_key, strict=True)])
    print(f"best sentence holds the answer: {top:.3f} of {len(hits)} answerable questions")

    sweep_further_share(observed, sentence_weights)

    x = answer_rows(observed, sentence_weights)
    y = np.asarray([each.answerable for each in observed], float)
    keys = [(each.language, each.answerable) for each in observed]
    share = _shares(keys)
    w = np.asarray([share[key] for key in keys])
    folds = np.asarray([each.corpus for each in observed])
    p = cross_validated(x, y, w, folds)
    grid = np.linspace(0.05, 0.95, 181)
    threshold = float(max(grid, key=lambda t: balanced(p, y, t)))
    french = np.asarray([each.language == "fr" for each in observed])
    report = {}
    for name, chosen in (("all", french | ~french), ("en", ~french), ("fr", french)):
        answered = p[chosen] >= threshold
        report[name] = {
            "questions": int(chosen.sum()),
            "auc": round(area(p[chosen], y[chosen]), 3),
            "answerable_answered": round(float(answered[y[chosen] == 1].mean()), 3),
            "others_refused": round(float((~answered)[y[chosen] == 0].mean()), 3),
        }
        print(name, report[name])
    answer_weights = logistic(x, y, w)
    for name, weight in zip((*abstain.ANSWER_FEATURES, "bias"), answer_weights, strict=True):
        print(f"  {name:<20}{weight:>9.3f}")
    print(f"threshold {threshold:.3f}")
    if options.write:
        _write(options, sentence_weights, answer_weights, threshold, report)


def _write(
    options: argparse.Namespace,
    sentence_weights: list[float],
    answer_weights: list[float],
    threshold: float,
    report: dict[str, Any],
) -> None:
    names = sorted({*MINED.values(), *(name for group in SOURCES.values() for name in group)})
    digests = {}
    for name in names:
        plain, packed = options.train / f"{name}.jsonl", options.train / f"{name}.jsonl.zst"
        file = plain if plain.exists() else packed
        digests[name] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    content = {
        "provenance": {
            "made_by": "benchmarks/fit_abstention.py",
            "training_data_sha256": digests,
            "licences": "weights only, no text; fitted on SQuAD (CC BY-SA 4.0), AfriQA (CC BY 4.0), "
            "QED (CC BY-SA 3.0), SelQA (Apache-2.0), Python documentation in French (CC0)",
            "half_of_the_questions_have_an_answer": True,
            "cross_validation_by_corpus": report,
        },
        "sentence": {
            "features": list(evidence.SENTENCE_FEATURES),
            "weights": [round(weight, 5) for weight in sentence_weights],
        },
        "answer": {
            "features": list(abstain.ANSWER_FEATURES),
            "weights": [round(weight, 5) for weight in answer_weights],
            "threshold": round(threshold, 4),
        },
    }
    TARGET_FILE.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"written: {TARGET_FILE}")


if __name__ == "__main__":
    main()
