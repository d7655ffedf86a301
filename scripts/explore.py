"""Open the explorer's pages in a browser, served on this machine alone.

python scripts/explore.py --port 8700
python scripts/explore.py allow=[my_package]     shows runs with classes of that package, too
"""

import argparse
import contextlib
import sys
import webbrowser

from seq2seq.explorer.server import Server
from seq2seq.runs import allowed


def main() -> int:
    """Exit code 0 after Ctrl-C, or 2 for a port that cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=8700, help="0 takes any free one")
    parser.add_argument("--outputs", default="outputs", help="folder with the runs to show")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument("allow", nargs="?", type=allowed, default=(), help="allow=[package, …]")
    given = parser.parse_args()
    try:
        server = Server(given.port, given.outputs, given.allow)
    except (OSError, OverflowError) as error:
        remedy = "choose another with --port, or --port 0 for any that is free"
        print(f"explore.py: port {given.port} cannot be had ({error}); {remedy}", file=sys.stderr)
        return 2
    with server, contextlib.suppress(KeyboardInterrupt):
        print(f"The explorer is at {server.url} until Ctrl-C.", flush=True)
        if not given.no_browser:
            webbrowser.open(server.url)
        server.serve_forever()
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
