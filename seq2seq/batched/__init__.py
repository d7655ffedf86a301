"""Training many runs of one shape as one tensor program."""

from seq2seq.batched.launcher import alike, launch
from seq2seq.batched.workers import train_all

__all__ = ["alike", "launch", "train_all"]
