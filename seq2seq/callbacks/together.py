"""Several callbacks as one, for what Lightning asks of each at every step."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import lightning
from lightning import Callback


class Together(Callback):
    """Several callbacks as one.

    Lightning spends some 20 µs of every step on each callback, whatever it overrides: as much as a
    tiny model's whole step, for a handful of them. Here only the hooks that are overridden cost.
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.members = list(callbacks)
        for hook in (name for name in dir(Callback) if name.startswith("on_")):
            overriding = [
                getattr(callback, hook)
                for callback in self.members
                if getattr(type(callback), hook) is not getattr(Callback, hook)
            ]
            if overriding:
                setattr(self, hook, partial(_call_each, overriding))


def gather(callbacks: Sequence[Callback]) -> list[Callback]:
    """The project's own callbacks as one; Lightning may want to know others by their class."""
    own = [c for c in callbacks if type(c).__module__.startswith(f"{__package__}.")]
    return [Together(own), *(callback for callback in callbacks if callback not in own)]


def members(trainer: lightning.Trainer) -> list[Callback]:
    """Every callback of a trainer, those that act as one included."""
    found: list[Callback] = []
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        found += callback.members if isinstance(callback, Together) else [callback]
    return found


def _call_each(hooks: Sequence[Any], *arguments: Any, **named: Any) -> None:
    for hook in hooks:
        hook(*arguments, **named)
