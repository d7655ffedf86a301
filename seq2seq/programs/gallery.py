"""Write figures and recorded pages as one HTML file that needs no installation to read.

seq2seq gallery docs/gallery.html sweep=outputs/plateau_shift
"""

from collections.abc import Sequence


def main(path: str = "gallery.html", /, *, sweep: Sequence[str] = ()) -> None:
    """Write it and print its path.

    Args:
        path: the file to write
        sweep: folders whose runs' figures are added
    """
    from seq2seq.explorer.gallery import gallery

    print(gallery(path, sweep))
