"""`seq2seq capacity`, from a checkout."""

import sys

from seq2seq.programs import run

if __name__ == "__main__":
    sys.exit(run("capacity", sys.argv[1:]))
