"""`seq2seq table`, from a checkout."""

import sys

from seq2seq.programs import run

if __name__ == "__main__":
    sys.exit(run("table", sys.argv[1:]))
