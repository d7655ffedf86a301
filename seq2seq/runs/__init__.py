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
    score_name,
    seal,
)
from seq2seq.runs.identity import (
    ending,
    ends,
    identity,
    resolved,
    run_folder,
    snake,
    trajectory_hash,
)
from seq2seq.runs.locks import LostLease
from seq2seq.runs.naming import (
    PLAN,
    choices,
    chosen,
    label,
    not_shared,
    own,
    read_plan,
    tells,
    varied,
)
from seq2seq.runs.table import collect, find, flatten, natural

__all__ = [
    "FINAL",
    "PLAN",
    "LostLease",
    "Run",
    "by_unit",
    "checkpoint_step",
    "choices",
    "chosen",
    "collect",
    "ending",
    "ends",
    "find",
    "flatten",
    "identity",
    "label",
    "load_checkpoint",
    "load_weights",
    "natural",
    "not_shared",
    "own",
    "read_plan",
    "replacing",
    "resolved",
    "run_folder",
    "score",
    "score_name",
    "seal",
    "snake",
    "tells",
    "trajectory_hash",
    "varied",
    "write_atomically",
]
