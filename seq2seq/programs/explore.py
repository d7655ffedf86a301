"""Open the explorer's pages in a browser, served on this machine alone.

seq2seq explore allow=[my_package]     shows runs with classes of that package, too
"""

import contextlib
import webbrowser
from collections.abc import Sequence

from seq2seq.errors import ConfigError


def main(
    port: int = 8700, outputs: str = "outputs", no_browser: bool = False, allow: Sequence[str] = ()
) -> None:
    """Serve until Ctrl-C.

    Args:
        port: 0 takes any free one
        outputs: folder with the runs to show
        no_browser: only print the address
        allow: packages
    """
    from seq2seq.explorer.server import Server

    try:
        server = Server(port, outputs, tuple(allow))
    except (OSError, OverflowError) as error:
        raise ConfigError(f"port {port} cannot be had ({error}); set --port 0 for any") from None
    with server, contextlib.suppress(KeyboardInterrupt):
        print(f"The explorer is at {server.url} until Ctrl-C.", flush=True)
        if not no_browser:
            webbrowser.open(server.url)
        server.serve_forever()
