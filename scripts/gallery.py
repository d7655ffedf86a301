"""`seq2seq gallery`, from a checkout."""

import sys

from seq2seq.programs import run

if __name__ == "__main__":
    sys.exit(run("gallery", sys.argv[1:]))
