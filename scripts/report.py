"""`seq2seq report`, from a checkout."""

import sys

from seq2seq.programs import run

if __name__ == "__main__":
    sys.exit(run("report", sys.argv[1:]))
