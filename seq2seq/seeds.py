"""Independent random streams derived from one seed."""

import zlib

import numpy as np
import torch


def stream_seed(seed: int, *stream: str | int) -> int:
    """A 63-bit seed for the stream named by `stream`, independent of every other stream of `seed`.

    `stream_seed(0, "data", "train")` and `stream_seed(0, "batch", 17)` never depend on what else
    was drawn, nor on the order of the draws, so changing the model never changes the data and a
    resumed run draws what an uninterrupted one would have drawn.
    """
    key = tuple(part if isinstance(part, int) else zlib.crc32(part.encode()) for part in stream)
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=key)
    return int(sequence.generate_state(1, np.uint64)[0]) >> 1


def generator(seed: int, *stream: str | int) -> torch.Generator:
    """A CPU generator for one stream of `seed`; see `stream_seed`."""
    return torch.Generator().manual_seed(stream_seed(seed, *stream))
