"""`seq2seq published`, from a checkout."""

import sys

from seq2seq.programs import run

if __name__ == "__main__":
    sys.exit(run("published", sys.argv[1:]))
