"""Threads of the numeric libraries, bounded in this one place.

Measured on shared two-core machines: FAISS with two threads searches three times slower than with one, and a matrix
product gains nothing from more threads than cores. A server has enough to do in parallel: the questions.
"""

from __future__ import annotations

import os


def cores() -> int:
    """Return how many cores this process may run on, at least 1; containers and ``taskset`` are respected."""
    try:
        return len(os.sched_getaffinity(0)) or 1
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def bound_torch(threads: int | None) -> int:
    """Return the number of threads that torch uses from now on: *threads*, or as many as there are cores."""
    import torch

    chosen = threads or cores()
    torch.set_num_threads(chosen)
    return chosen


def bound_faiss() -> None:
    """Let FAISS search with one thread."""
    import faiss

    faiss.omp_set_num_threads(1)
