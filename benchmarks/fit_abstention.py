"""Fits "I don't know": which sentence answers a question, and how probably the answer shown is right.

    python benchmarks/fit_abstention.py DATA [--write] [--workdir DIR] [--cap 250]

DATA is the folder of the evaluation sets, of which only the articles of the part "fit" are asked about (see
benchmarks/training/data.py): the reader was not trained on them, and nothing is reported on them. Each set becomes a
small company: all its documents are indexed, but one in five of those that questions are about is left out, and what
was asked of it has no answer; nor have the questions that the set itself calls unanswerable. Questions go through the
product's own retrieval and reader. Two logistic models are fitted: sentence by sentence (it holds the answer), and
question by question (the answer shown is right), languages weighted equally. The threshold is the one that, on
questions held out by article, decides rightly most often where three questions in four have an answer; a stated rate
of wrong answers is a matter of one's own questions: `metier specialist calibrate`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from app import abstain, calibration, evidence
from app.measures import f1, holds
from app.reader import choose
from app.reading import TrainedReader
from app.retrieve import retrieve
from app.settings import AppSettings
from app.terms import fold
from benchmarks.corpora import EvaluationSet, Query, indexed, load
from benchmarks.training import data
from benchmarks.training.rows import table_documents
from indexing import access
from indexing.embed import load_embedder
from indexing.search import SearchIndex
from indexing.tables import LOCAL_PRINCIPAL_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from indexing.documents import Passage

SETS = ("squad", "piaf", "covidqa", "tatqa", "clapnq", "tables")
FRENCH = {"piaf", "spf"}
LONG_ANSWER, LONG_F1 = 12, 0.4  # words; a reference that long was written by a person, and is not found word for word
ANSWERABLE = 0.75  # of the questions of people who ask their own company's documents: an assumption, for the threshold
LEFT_OUT = 0.2  # share of the documents that questions are about
RIDGE = 1.0
SEED = 20
FOLDS = 8
TARGET_FILE = Path(__file__).parent.parent / "app" / "abstention.json"


@dataclass(frozen=True)
class Observed:
    """What the product measured for one question."""

    set: str
    article: str
    language: str
    question: str
    answers: tuple[str, ...]
    passages: tuple[Passage, ...]
    sentences: tuple[evidence.Sentence, ...]
    labels: tuple[int, ...]  # of the sentences: 1 holds the answer, 0 does not, -1 unknown
    answerable: bool


@dataclass(frozen=True)
class Asked:
    """One question, and whether the document that answers it is there."""

    query: Query
    gold: str  # document; "" when the set knows none
    answerable: bool


def company(folder: Path, name: str, part: str, cap: int) -> tuple[EvaluationSet, list[Asked]]:
    """Return the set *name* with some documents left out, and at most *cap* questions of each kind of *part*.

    The set "tables" is made by rule of TAT-QA's tables (training/rows.py): the other sets hold running text.
    """
    chance = random.Random(SEED)
    if name == "tables":
        documents, made = table_documents(folder, part, SEED)
        tables = EvaluationSet(name, {uri: ("", text) for uri, text in documents.items()}, (), {})
        return tables, _capped([_asked_of(uri, each) for uri, each in made], cap)
    whole = load(folder, name, part=None)
    asked = sorted({document for found in whole.qrels.values() for document in found})
    left_out = {document for document in asked if chance.random() < LEFT_OUT}
    there = EvaluationSet(name, {d: t for d, t in whole.documents.items() if d not in left_out}, (), {})
    questions = []
    for query in whole.queries:
        gold = sorted(whole.qrels.get(query.id, ()))
        quotable = gold and any(fold(a) in fold(" ".join(whole.documents[gold[0]])) for a in query.answers)
        if name == "tatqa" and not quotable:
            continue  # its answer must be computed: no quote is right
        if data.part_of(name, query.article) == part and (not query.answerable or (query.answers and gold)):
            answerable = query.answerable and not left_out.intersection(gold)
            questions.append(Asked(query, gold[0] if gold else "", answerable))
    chance.shuffle(questions)
    return there, _capped(questions, cap)


def _capped(questions: Sequence[Asked], cap: int) -> list[Asked]:
    """Return the first *cap* answerable questions and the first *cap* others."""
    return [q for q in questions if q.answerable][:cap] + [q for q in questions if not q.answerable][:cap]


def _asked_of(uri: str, example: data.Span) -> Asked:
    answers = tuple(example.context[a:b] for a, b in example.spans)
    query = Query(f"{uri}-{example.question}", example.question, answers, bool(answers), uri)
    return Asked(query, uri, bool(answers))


def observe(folder: Path, workdir: Path, part: str, names: Sequence[str], cap: int) -> list[Observed]:
    """Return what retrieval and the reader measured for the questions of *part*; catalogs are kept in *workdir*."""
    observed: list[Observed] = []
    for name in names:
        documents, questions = company(folder, name, part, cap)
        observed += ask_all(name, documents, questions, workdir / f"fit-{name}")
        kinds = Counter(asked.answerable for asked in questions)
        print(f"  {name}: {len(documents.documents)} documents, {kinds[True]} + {kinds[False]} questions", flush=True)
    return observed


def ask_all(name: str, documents: EvaluationSet, questions: Sequence[Asked], place: Path) -> list[Observed]:
    """Return what retrieval and the reader measured for *questions* about *documents*, indexed in *place*."""
    settings = AppSettings.load(data_dir=place)
    embedder, reads = load_embedder(settings), TrainedReader()
    neutral = (0.0,) * (len(evidence.SENTENCE_FEATURES) + 1)
    catalog = indexed(documents, settings, embedder)
    index = SearchIndex(catalog, embedder, settings)
    with catalog.reading() as session:
        scope = access.authorise(session, LOCAL_PRINCIPAL_ID)
    observed = []
    for asked in questions:
        text = asked.query.text
        found = retrieve(text, scope=scope, catalog=catalog, index=index, embedder=embedder, top_k=settings.top_k)
        sentences = evidence.weigh(text, found.passages, found.language, reads, embedder, neutral)
        if sentences:
            observed.append(_observed(name, asked, found.passages, sentences))
    catalog.close()
    return observed


def _observed(
    name: str, asked: Asked, passages: tuple[Passage, ...], sentences: tuple[evidence.Sentence, ...]
) -> Observed:
    gold = asked.gold if asked.answerable else None
    return Observed(
        set=name,
        article=asked.query.article,
        language="fr" if name in FRENCH else "en",
        question=asked.query.text,
        answers=asked.query.answers,
        passages=passages,
        sentences=sentences,
        labels=tuple(_label(gold, asked.query.answers, passages[s.passage], s) for s in sentences),
        answerable=asked.answerable,
    )


def _label(gold: str | None, answers: Sequence[str], passage: Passage, sentence: evidence.Sentence) -> int:
    """Return 1 when the sentence holds the answer in the right document, -1 when it only has the same words."""
    text = fold(sentence.text)
    same = any(fold(a) in text or (len(a) > 60 and text in fold(a)) for a in answers if a)
    if gold is not None and passage.uri == gold:
        return int(same)
    return -1 if same else 0


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
        rows.append(abstain.answer_features(each.question, each.passages, ranked, each.language))
    return np.asarray(rows, float)


def right_answers(observed: Sequence[Observed], sentence_weights: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return 1 for each question whose quotes hold a reference answer, else 0."""
    right = []
    for each in observed:
        quotes = choose(evidence.ranked(each.sentences, sentence_weights), each.passages)
        text = " ".join(each.passages[quote.passage].text[quote.start : quote.end] for quote in quotes)
        right.append(float(each.answerable and _is_right(text, each.answers)))
    return np.asarray(right)


def _is_right(text: str, answers: Sequence[str]) -> bool:
    """Return whether the quotes hold a reference answer, or most words of one that is sentences long."""
    long = [answer for answer in answers if len(answer.split()) > LONG_ANSWER]
    return bool(holds(text, answers)) or (bool(long) and f1(text, long) >= LONG_F1)


def cross_validated(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], w: npt.NDArray[np.float64], folds: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the probability of each question by a model that never saw its fold."""
    out = np.zeros(len(y))
    for number in np.unique(folds):
        held = folds == number
        out[held] = probabilities(x[held], logistic(x[~held], y[~held], w[~held]))
    return out


def balanced(p: npt.NDArray[np.float64], y: npt.NDArray[np.float64], threshold: float) -> float:
    """Return the share of right decisions where ANSWERABLE of the questions can be answered rightly."""
    answered = p >= threshold
    return float(ANSWERABLE * answered[y == 1].mean() + (1 - ANSWERABLE) * (~answered)[y == 0].mean())


def wrong_share(p: npt.NDArray[np.float64], y: npt.NDArray[np.float64], threshold: float) -> float:
    """Return the share of wrong answers among those given, where ANSWERABLE can be answered rightly."""
    answered = p >= threshold
    right, wrong = ANSWERABLE * answered[y == 1].mean(), (1 - ANSWERABLE) * answered[y == 0].mean()
    return float(wrong / max(right + wrong, 1e-9))


def area(p: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    """Return the area under the ROC curve: how often a right answer stands above another (Mann-Whitney)."""
    order = np.argsort(np.argsort(p))
    positives = y == 1
    n, m = int(positives.sum()), int((~positives).sum())
    return float((order[positives].sum() - n * (n - 1) / 2) / max(1, n * m))


def main() -> None:
    """Fit, print what cross-validation says, and write app/abstention.json with --write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--workdir", type=Path)
    parser.add_argument("--cap", type=int, default=250, help="answerable questions of each set, and as many others")
    parser.add_argument("--write", action="store_true", help=f"replace {TARGET_FILE.name}")
    options = parser.parse_args()
    workdir = options.workdir or Path(tempfile.mkdtemp(prefix="metier-fit-"))
    observed = observe(options.data, workdir, "fit", SETS, options.cap)

    sentence_weights = fit_sentences(observed)
    sweep_further_share(observed, sentence_weights)
    x, y = answer_rows(observed, sentence_weights), right_answers(observed, sentence_weights)
    keys = [(each.language, each.answerable) for each in observed]
    share = _shares(keys)
    w = np.asarray([share[key] for key in keys])
    folds = np.asarray([sum(map(ord, each.article)) % FOLDS for each in observed])
    p = cross_validated(x, y, w, folds)
    threshold = float(max(np.linspace(0.05, 0.95, 181), key=lambda t: balanced(p, y, t)))
    report = {}
    for name in ("all", "en", "fr", *SETS):
        these = np.asarray([name in ("all", each.language, each.set) for each in observed])
        if not these.any():
            continue
        answered = p[these] >= threshold
        answerable = np.asarray([each.answerable for each in observed])[these]
        report[name] = {
            "questions": int(these.sum()),
            "auc": round(area(p[these], y[these]), 3),
            "right_without_abstention": round(float(y[these].mean()), 3),
            "answerable_answered": round(float(answered[answerable].mean()), 3),
            "others_refused": round(float((~answered)[~answerable].mean()), 3) if (~answerable).any() else None,
            "wrong_of_answered": round(float((answered * (1 - y[these])).sum() / max(1, answered.sum())), 3),
        }
        print(name, report[name])
    answer_weights = logistic(x, y, w)
    for name, weight in zip((*abstain.ANSWER_FEATURES, "bias"), answer_weights, strict=True):
        print(f"  {name:<20}{weight:>9.3f}")
    for target in (0.02, 0.05, 0.10, 0.15, 0.20):
        print(f"  target {target}: {calibration.threshold_for(p.tolist(), [bool(each) for each in y], target)}")
    print(f"threshold {threshold:.3f}")
    if options.write:
        _write(sentence_weights, answer_weights, threshold, wrong_share(p, y, threshold), report)


def _write(
    sentence_weights: list[float],
    answer_weights: list[float],
    threshold: float,
    expected_wrong: float,
    report: dict[str, Any],
) -> None:
    content = {
        "provenance": {
            "made_by": "benchmarks/fit_abstention.py",
            "data": dict.fromkeys(SETS, 'articles of the part "fit"'),
            "licences": "weights only, no text; fitted on SQuAD and PIAF (CC BY-SA), COVID-QA, TAT-QA, CLAPNQ and "
            "service-public.fr",
            "about_half_of_the_questions_have_an_answer": True,
            "cross_validation_by_article": report,
        },
        "sentence": {
            "features": list(evidence.SENTENCE_FEATURES),
            "weights": [round(weight, 5) for weight in sentence_weights],
        },
        "answer": {
            "features": list(abstain.ANSWER_FEATURES),
            "weights": [round(weight, 5) for weight in answer_weights],
            "threshold": round(threshold, 4),
            "expected_wrong": round(expected_wrong, 3),
        },
    }
    TARGET_FILE.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"written: {TARGET_FILE}")


if __name__ == "__main__":
    main()
