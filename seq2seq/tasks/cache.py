"""Data sets kept on disk: computed once, verified whenever they are read."""

import hashlib
import io
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seq2seq.files import place, write_atomically


def cached(
    folder: str | Path, key: Mapping[str, Any], build: Callable[[], tuple[Tensor, ...]]
) -> tuple[Tensor, ...]:
    """The tensors of `build()`, read from `folder` if they lie there under `key`.

    `key` must hold everything that the tensors depend on; the file is named by its SHA-256. A file
    is a digest followed by an .npz archive. It is written aside and renamed, so that a reader never
    sees half of one. One whose digest does not match is rebuilt with a warning; a folder that
    cannot be written costs a warning and the time to compute again.
    """
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    path = place(folder) / name
    try:
        content = path.read_bytes()
    except OSError:
        content = None
    if content is not None:
        digest, payload = content[:64], content[64:]
        if digest == _digest(name, payload):
            with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
                return tuple(torch.from_numpy(arrays[key]) for key in arrays)
        warnings.warn(f"cached data {path} are damaged; computing them again", stacklevel=2)
    tensors = build()
    buffer = io.BytesIO()
    np.savez(buffer, *(tensor.cpu().numpy() for tensor in tensors))
    payload = buffer.getvalue()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _digest(name, payload) + payload)
    except OSError as error:
        warnings.warn(f"data not cached in {folder} ({error}); set paths.cache", stacklevel=2)
    return tensors


def _digest(name: str, payload: bytes) -> bytes:
    return hashlib.sha256(name.encode() + payload).hexdigest().encode()
