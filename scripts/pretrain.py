"""`seq2seq pretrain`, from a checkout."""

import sys

from seq2seq.programs import run

if __name__ == "__main__":
    sys.exit(run("pretrain", sys.argv[1:]))
