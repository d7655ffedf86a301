"""`python -m seq2seq`: the same as the command `seq2seq`."""

import sys

from seq2seq.programs import main

if __name__ == "__main__":
    sys.exit(main())
