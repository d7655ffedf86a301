"""Importing the large libraries, which takes seconds."""

import gc
import sys
from importlib import import_module


def import_once(*names: str) -> None:
    """Import modules a fifth sooner, with what they bring along kept out of later searches.

    While torch and Lightning are imported, Python looks for garbage among a million objects again
    and again and finds none; nearly all of them stay until the process ends.
    """
    if all(name in sys.modules for name in names):
        return
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for name in names:
            import_module(name)
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
