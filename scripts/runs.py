"""`seq2seq runs`, from a checkout."""

import sys

from seq2seq.programs import run

if __name__ == "__main__":
    sys.exit(run("runs", sys.argv[1:]))
