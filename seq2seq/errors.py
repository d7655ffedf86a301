"""How the program refuses: in one line with the rule, the value and the remedy."""

import difflib
from collections.abc import Iterable


class ConfigError(ValueError):
    """A config that cannot be run: one line says what is wrong, the value and the remedy."""


def nearest(name: object, candidates: Iterable[object], otherwise: str | None = None) -> str:
    """`; did you mean 'x'?` for the closest of `candidates`, else `otherwise` or a list of all."""
    known = list(dict.fromkeys(map(str, candidates)))
    close = difflib.get_close_matches(str(name), known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    if otherwise is not None:
        return otherwise
    return f"; known: {', '.join(known)}" if known else ""
