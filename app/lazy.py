"""An embedder that is loaded when it is first asked something: commands that embed nothing do not check weights."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from indexing.embed import Embedder
    from indexing.settings import IndexingSettings


class LazyEmbedder:
    """The embedder that the settings name, loaded once, by whichever thread asks first."""

    def __init__(self, settings: IndexingSettings) -> None:
        """Remember what to load; nothing is read yet."""
        self._settings = settings
        self._lock = threading.Lock()
        self._loaded: Embedder | None = None

    @property
    def _embedder(self) -> Embedder:
        with self._lock:
            if self._loaded is None:
                from indexing.embed import load_embedder

                self._loaded = load_embedder(self._settings)
            return self._loaded

    @property
    def fingerprint(self) -> str:
        """The embedder's fingerprint. Raises ModelUnusable, as everything here does, when it cannot be loaded."""
        return self._embedder.fingerprint

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return self._embedder.dimension

    @property
    def max_tokens(self) -> int:
        """The most tokens of a passage that the model reads."""
        return self._embedder.max_tokens

    def embed_passages(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one row for each text, float32 (n, dimension)."""
        return self._embedder.embed_passages(texts)

    def embed_questions(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one row for each question, float32 (n, dimension)."""
        return self._embedder.embed_questions(texts)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return the character spans of the text's tokens."""
        return self._embedder.token_spans(text)
