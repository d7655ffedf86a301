"""The input processes, as pages of tasks offer them."""

from typing import TYPE_CHECKING

from seq2seq.explorer.page import Choice

if TYPE_CHECKING:
    from seq2seq.tasks import InputProcess

INPUTS = {
    "gp": "smooth Gaussian",
    "ar1": "rough, AR(1)",
    "white": "white noise",
    "uniform": "uniform noise",
}


def choice(value: str) -> Choice:
    return Choice("input", "Input", tuple(INPUTS.items()), value)


def process(name: str) -> "InputProcess":
    """The process of that name, with its default parameters."""
    from seq2seq import tasks

    kinds = {"gp": tasks.GP, "ar1": tasks.AR1, "white": tasks.White, "uniform": tasks.Uniform}
    return kinds[name]()
