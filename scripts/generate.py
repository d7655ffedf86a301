"""`seq2seq generate`, from a checkout."""

import sys

from seq2seq.programs import run

if __name__ == "__main__":
    sys.exit(run("generate", sys.argv[1:]))
