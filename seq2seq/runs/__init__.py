"""A run is a folder: its identity, its files and locks, and reading many of them back."""

from seq2seq.files import write_atomically
from seq2seq.runs.folder import (
    FINAL,
    Run,
    checkpoint_step,
    load_checkpoint,
    load_weights,
    score,
)
from seq2seq.runs.identity import identity, resolved, run_folder, telling, trajectory_hash
from seq2seq.runs.table import collect, find, flatten, natural

__all__ = [
    "FINAL",
    "Run",
    "checkpoint_step",
    "collect",
    "find",
    "flatten",
    "identity",
    "load_checkpoint",
    "load_weights",
    "natural",
    "resolved",
    "run_folder",
    "score",
    "telling",
    "trajectory_hash",
    "write_atomically",
]
