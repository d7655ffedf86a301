"""Execute the tour and store it with what its cells show; nothing of this machine is kept.

python scripts/tour.py                     notebooks/tour.ipynb
"""

import sys

from seq2seq.command import command


def main(path: str = "notebooks/tour.ipynb", /) -> None:
    """Execute a notebook, and write it with its outputs in its place.

    Args:
        path: the notebook
    """
    from seq2seq.explorer.tour import store

    store(path)
    print(path)


if __name__ == "__main__":
    sys.exit(command(main, sys.argv[1:], "tour.py"))
