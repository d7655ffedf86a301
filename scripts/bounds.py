"""`seq2seq bounds`, from a checkout."""

import sys

from seq2seq.programs import run

if __name__ == "__main__":
    sys.exit(run("bounds", sys.argv[1:]))
