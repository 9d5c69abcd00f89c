"""Passages embedded per second, against sentence-transformers as it comes, in the same run.

    python benchmarks/embed.py [DATA] [--passages 200] [--rounds 5] [--json FILE]

Rounds are interleaved and the median is printed, because shared machines are noisy: read the ratios, and where others
compute at the same time those of CPU time. Each path's vectors are compared with fp32's; a cosine below 0.999 ends the
program with an error.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch

from app.settings import AppSettings
from benchmarks.corpora import data_folder, load
from indexing.embed import load_embedder
from indexing.packaged import find_model
from indexing.threads import cores

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

LEAST_COSINE = 0.999
BASELINE = "sentence-transformers, fp32, batch 32"


def paths(settings: AppSettings) -> dict[str, Callable[[list[str]], npt.NDArray[np.float32]]]:
    """Return what is compared, by name, each a function from passages to normalised rows."""
    from sentence_transformers import SentenceTransformer

    plain = SentenceTransformer(str(find_model(settings).directory), device="cpu")
    found = {BASELINE: lambda texts: plain.encode(texts, normalize_embeddings=True)}
    for precision in ("fp32", "bf16", "auto"):
        embedder = load_embedder(settings.model_copy(update={"embed_precision": precision}))
        found[f"ours, {precision}"] = embedder.embed_passages
    return found


def main() -> None:
    """Print a row for each path; end with an error when a vector moved too far."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="folder of the sets; METIER_DATA when absent")
    parser.add_argument("--passages", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    documents = load(data_folder(arguments.data), "squad").documents.values()
    texts = [text for _, text in documents][: arguments.passages]
    settings = AppSettings.load()
    threads = settings.threads or cores()
    torch.set_num_threads(threads)  # for sentence-transformers; our own workers have one each
    packages = ", ".join(f"{name} {version(name)}" for name in ("sentence-transformers", "torch", "transformers"))
    print(
        f"{platform.machine()}, {threads} threads, Python {platform.python_version()}, {packages}; squad, {len(texts)}"
    )
    compared = paths(settings)
    reference = compared[BASELINE](texts)
    cosines = {name: float((embed(texts) * reference).sum(axis=1).min()) for name, embed in compared.items()}
    speeds: dict[str, list[float]] = {name: [] for name in compared}
    work: dict[str, list[float]] = {name: [] for name in compared}
    for _ in range(arguments.rounds):
        for name, embed in compared.items():
            started, cpu = time.perf_counter(), time.process_time()
            embed(texts)
            work[name].append((time.process_time() - cpu) * 1000 / len(texts))
            speeds[name].append(len(texts) / (time.perf_counter() - started))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    cpu_ms = {name: statistics.median(values) for name, values in work.items()}
    print(f"{'path':<42}{'passages/s':>12}{'ratio':>8}{'CPU ms each':>13}{'ratio':>8}{'least cosine':>14}")
    for name, median in medians.items():
        gained, saved = median / medians[BASELINE], cpu_ms[BASELINE] / cpu_ms[name]
        print(f"{name:<42}{median:>12.1f}{gained:>8.2f}{cpu_ms[name]:>13.1f}{saved:>8.2f}{cosines[name]:>14.5f}")
    if arguments.json:
        figures = {
            name: {"passages_per_s": medians[name], "cpu_ms": cpu_ms[name], "cosine": cosines[name]} for name in medians
        }
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if min(cosines.values()) < LEAST_COSINE:
        sys.exit(f"A vector moved too far from fp32's: {cosines}.")


if __name__ == "__main__":
    main()
