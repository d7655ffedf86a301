"""`seq2seq benchmark`, from a checkout."""

import sys

from seq2seq.programs import run

if __name__ == "__main__":
    sys.exit(run("benchmark", sys.argv[1:]))
