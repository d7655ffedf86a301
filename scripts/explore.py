"""`seq2seq explore`, from a checkout."""

import sys

from seq2seq.programs import run

if __name__ == "__main__":
    sys.exit(run("explore", sys.argv[1:]))
