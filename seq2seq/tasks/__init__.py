"""Relations between sequences, one per file, and the input processes they are posed on.

A task brings Lightning, whose import takes seconds, and is imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from seq2seq.tasks.inputs import AR1 as AR1
from seq2seq.tasks.inputs import GP as GP
from seq2seq.tasks.inputs import InputProcess as InputProcess
from seq2seq.tasks.inputs import Uniform as Uniform
from seq2seq.tasks.inputs import White as White

if TYPE_CHECKING:
    from seq2seq.tasks.arrays import Arrays as Arrays
    from seq2seq.tasks.convolution import Convolution as Convolution
    from seq2seq.tasks.forecast import Lorenz96Forecast as Lorenz96Forecast
    from seq2seq.tasks.linear_functional import LinearFunctional as LinearFunctional
    from seq2seq.tasks.lorenz96 import Lorenz96 as Lorenz96
    from seq2seq.tasks.lorenz96_published import Lorenz96Published as Lorenz96Published
    from seq2seq.tasks.shift import Shift as Shift
    from seq2seq.tasks.task import DrivenTask as DrivenTask
    from seq2seq.tasks.task import SequenceTask as SequenceTask
    from seq2seq.tasks.text import Text as Text

_FILES = (
    "task",
    "arrays",
    "convolution",
    "forecast",
    "linear_functional",
    "lorenz96",
    "lorenz96_published",
    "shift",
    "text",
)


def __getattr__(name: str) -> Any:
    for file in _FILES if name[:1].isupper() else ():
        found = getattr(import_module(f"seq2seq.tasks.{file}"), name, None)
        if found is not None:
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
