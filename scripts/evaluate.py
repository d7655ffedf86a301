"""`seq2seq evaluate`, from a checkout."""

import sys

from seq2seq.programs import run

if __name__ == "__main__":
    sys.exit(run("evaluate", sys.argv[1:]))
