"""Write figures and recorded pages as one HTML file that needs no installation to read.

python scripts/gallery.py docs/gallery.html --sweep outputs/plateau_shift
"""

import argparse
import sys

from seq2seq.explorer.gallery import gallery


def main() -> int:
    """Exit code 0, or 2 for a file that cannot be written or a folder without runs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", nargs="?", default="gallery.html", help="the file to write")
    parser.add_argument(
        "--sweep", action="append", default=[], help="a folder whose runs' figures are added"
    )
    arguments = parser.parse_args()
    try:
        print(gallery(arguments.path, arguments.sweep))
    except (OSError, ValueError) as error:
        print(f"gallery.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
