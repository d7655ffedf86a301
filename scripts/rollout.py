"""`seq2seq rollout`, from a checkout."""

import sys

from seq2seq.programs import run

if __name__ == "__main__":
    sys.exit(run("rollout", sys.argv[1:]))
