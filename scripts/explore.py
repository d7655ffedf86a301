"""Open the explorer's pages in a browser, served on this machine alone.

python scripts/explore.py --port 8700
"""

import argparse
import sys
import webbrowser

from seq2seq.explorer.server import Server


def main() -> int:
    """Exit code 0 after Ctrl-C, or 2 for a port that cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=8700, help="0 takes any free one")
    parser.add_argument("--outputs", default="outputs", help="folder with the runs to show")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    arguments = parser.parse_args()
    try:
        server = Server(arguments.port, arguments.outputs)
    except (OSError, OverflowError) as error:
        print(
            f"explore.py: port {arguments.port} cannot be had ({error}); choose another with "
            "--port, or --port 0 for any that is free",
            file=sys.stderr,
        )
        return 2
    try:
        print(f"The explorer is at {server.url} until Ctrl-C.", flush=True)
        if not arguments.no_browser:
            webbrowser.open(server.url)
        server.serve_forever()
    except KeyboardInterrupt:
        print()
    finally:
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
