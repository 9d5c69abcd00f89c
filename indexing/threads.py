"""Threads of the numeric libraries, bounded in this one place.

A server has enough to do in parallel: the batches and the questions. Measured on shared two-core machines, FAISS
searches three times slower with two threads than with one.
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
    """Return how many threads torch uses for one product from now on: *threads*, or as many as there are cores.

    The number is the whole process's. So whoever computes sets what it wants at the start of each piece of work:
    a generator, which writes one answer at a time, many; an embedding worker, one of several, a single one.
    """
    import torch

    chosen = threads or cores()
    torch.set_num_threads(chosen)
    return chosen


def single_torch_thread() -> None:
    """Let torch use one thread for one product from now on: for one of several embedding workers.

    Workers that share nothing beat threads that share each product: they wait for nobody. Measured on two cores with
    other programs running, two such workers embed 2.5 times what one product on two threads does; alone, as much.
    """
    import torch

    torch.set_num_threads(1)


def bound_faiss() -> None:
    """Let FAISS search with one thread."""
    import faiss

    faiss.omp_set_num_threads(1)
