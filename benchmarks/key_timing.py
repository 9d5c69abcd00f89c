"""Does the time of a comparison tell how much of a secret is right? A Welch t-test, as dudect does it.

Two classes of guesses are timed in random order: secrets that are right but for the last character, and secrets that
are wrong from the first one. If |t| stays under 4.5, over many samples, no difference was found. The same is done to a
comparison that stops at the first wrong character: that one must be found out, or the measurement could find nothing.

    python benchmarks/key_timing.py [SAMPLES]
"""

from __future__ import annotations

import platform
import random
import secrets
import string
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from app.keys import hashed, same

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 4.5
#: Timings above this share of all are interruptions of the machine, and are left out, as dudect does.
KEPT = 0.95


def t_of(compare: Callable[[str], bool], classes: tuple[list[str], list[str]], samples: int) -> float:
    """Return Welch's t of the times of the two classes; 0 when they are the same."""
    chosen = np.frombuffer(random.randbytes(samples), dtype=np.uint8) % 2
    taken = np.empty(samples)
    guesses = [classes[kind][i % len(classes[kind])] for i, kind in enumerate(chosen)]
    for i, guess in enumerate(guesses):
        started = time.perf_counter_ns()
        compare(guess)
        taken[i] = time.perf_counter_ns() - started
    kept = taken <= np.quantile(taken, KEPT)
    return float(stats.ttest_ind(taken[kept & (chosen == 0)], taken[kept & (chosen == 1)], equal_var=False).statistic)


def guesses_of(secret: str, count: int = 512) -> tuple[list[str], list[str]]:
    """Return (guesses that are right but for the last character, guesses that are wrong from the first one)."""
    near, far = [], []
    for _ in range(count):
        other = secrets.token_urlsafe(32)
        near.append(secret[:-1] + random.choice(sorted(set(string.ascii_letters) - {secret[-1]})))
        far.append(random.choice(sorted(set(string.ascii_letters) - {secret[0]})) + other[1:])
    return near, far


def leaky(secret: str) -> Callable[[str], bool]:
    """Return a comparison that stops at the first difference, character by character."""

    def compare(guess: str) -> bool:
        return all(a == b for a, b in zip(secret, guess, strict=True))

    return compare


def main() -> int:
    """Print t for each comparison; return 1 when one of ours tells something, or the leaky one does not."""
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    secret = secrets.token_urlsafe(32)
    kept = hashed(secret)
    print(f"{platform.machine()}, Python {platform.python_version()}, {samples:,} samples each")
    ours = {
        "secret of a key": t_of(lambda guess: same(hashed(guess), kept), guesses_of(secret), samples),
        "server's own token": t_of(lambda guess: same(guess, secret), guesses_of(secret), samples),
    }
    control = t_of(leaky(secret), guesses_of(secret), min(samples, 100_000))
    for name, t in ours.items():
        print(f"{name:20}  t = {t:8.2f}   {'no difference found' if abs(t) < LIMIT else 'THE TIMES DIFFER'}")
    print(f"{'control (leaky)':20}  t = {control:8.2f}   {'found' if abs(control) >= LIMIT else 'NOT FOUND'}")
    return int(any(abs(t) >= LIMIT for t in ours.values()) or abs(control) < LIMIT)


if __name__ == "__main__":
    sys.exit(main())
