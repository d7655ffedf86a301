"""A run is a folder: its identity, its files and locks, and reading many of them back."""

from seq2seq.files import replacing, write_atomically
from seq2seq.runs.folder import (
    FINAL,
    Run,
    by_unit,
    checkpoint_step,
    load_checkpoint,
    load_weights,
    score,
    seal,
)
from seq2seq.runs.identity import (
    ends,
    identity,
    resolved,
    run_folder,
    snake,
    telling,
    trajectory_hash,
)
from seq2seq.runs.locks import LostLease
from seq2seq.runs.table import collect, find, flatten, natural

__all__ = [
    "FINAL",
    "LostLease",
    "Run",
    "by_unit",
    "checkpoint_step",
    "collect",
    "ends",
    "find",
    "flatten",
    "identity",
    "load_checkpoint",
    "load_weights",
    "natural",
    "replacing",
    "resolved",
    "run_folder",
    "score",
    "seal",
    "snake",
    "telling",
    "trajectory_hash",
    "write_atomically",
]
