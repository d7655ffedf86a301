"""Relations between sequences, one per file, and the input processes they are posed on.

A task brings Lightning, whose import takes seconds, and is imported when it is asked for.
"""

import re
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from seq2seq.tasks.inputs import AR1 as AR1
from seq2seq.tasks.inputs import GP as GP
from seq2seq.tasks.inputs import InputProcess as InputProcess
from seq2seq.tasks.inputs import Signs as Signs
from seq2seq.tasks.inputs import Uniform as Uniform
from seq2seq.tasks.inputs import White as White

if TYPE_CHECKING:
    from seq2seq.tasks.adding import Adding as Adding
    from seq2seq.tasks.arrays import Arrays as Arrays
    from seq2seq.tasks.bucket_sort import BucketSort as BucketSort
    from seq2seq.tasks.convolution import Convolution as Convolution
    from seq2seq.tasks.copy_memory import CopyMemory as CopyMemory
    from seq2seq.tasks.cycle_navigation import CycleNavigation as CycleNavigation
    from seq2seq.tasks.delayed_parity import DelayedParity as DelayedParity
    from seq2seq.tasks.duplicate_string import DuplicateString as DuplicateString
    from seq2seq.tasks.dyck import Dyck as Dyck
    from seq2seq.tasks.even_pairs import EvenPairs as EvenPairs
    from seq2seq.tasks.forecast import Lorenz96Forecast as Lorenz96Forecast
    from seq2seq.tasks.group_word import GroupWord as GroupWord
    from seq2seq.tasks.induction import Induction as Induction
    from seq2seq.tasks.labels import Labels as Labels
    from seq2seq.tasks.linear_functional import LinearFunctional as LinearFunctional
    from seq2seq.tasks.lorenz96 import Lorenz96 as Lorenz96
    from seq2seq.tasks.lorenz96_published import Lorenz96Published as Lorenz96Published
    from seq2seq.tasks.mackey_glass import MackeyGlass as MackeyGlass
    from seq2seq.tasks.modular_arithmetic import ModularArithmetic as ModularArithmetic
    from seq2seq.tasks.mqar import MQAR as MQAR
    from seq2seq.tasks.narma import Narma as Narma
    from seq2seq.tasks.ngram_lookup import NgramLookup as NgramLookup
    from seq2seq.tasks.parity import Parity as Parity
    from seq2seq.tasks.reconstruct import Reconstruct as Reconstruct
    from seq2seq.tasks.reverse_string import ReverseString as ReverseString
    from seq2seq.tasks.selective_copy import SelectiveCopy as SelectiveCopy
    from seq2seq.tasks.shift import Shift as Shift
    from seq2seq.tasks.task import DrivenTask as DrivenTask
    from seq2seq.tasks.task import SequenceTask as SequenceTask
    from seq2seq.tasks.text import Text as Text
    from seq2seq.tasks.token import TokenTask as TokenTask
    from seq2seq.tasks.volterra import Volterra as Volterra

#: The tasks that are not in the file of their name, nor in `task`.
_ELSEWHERE = {"Lorenz96Forecast": "forecast", "TokenTask": "token"}


def __getattr__(name: str) -> Any:
    file = _ELSEWHERE.get(name) or re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    for home in (file, "task") if name[:1].isupper() else ():
        if find_spec(f"seq2seq.tasks.{home}"):
            found = getattr(import_module(f"seq2seq.tasks.{home}"), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
