"""What models receive and give, checked in each call: `usefixtures("shapes")`."""

import inspect
import types
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
import yaml
from torch import Tensor

from seq2seq.models.token import TokenModel
from seq2seq.schema import CONFIGS


@pytest.fixture(scope="module")
def shapes() -> Iterator[None]:
    """Check what goes into and comes out of `forward` and `step` of every registered model.

    forward: (batch, time, input_dim) -> (batch, time, output_dim), step the same without time, all
    floats; a token model takes integers without channels.
    """
    from jaxtyping import Float, Int

    files = (CONFIGS / "model").glob("*.yaml")
    targets = {yaml.safe_load(file.read_text()).get("_target_") for file in files}
    with pytest.MonkeyPatch.context() as patch:

        def check(model: Any, method: str, kind: Any, axes: str, channels: str = "") -> None:
            patch.setattr(model, method, _checked(model, method, kind, axes, channels))

        for module, _, name in (target.rpartition(".") for target in targets if target):
            model = getattr(import_module(module), name)
            check(model, "forward", Float, "batch time", " {self.input_dim}")
            check(model, "step", Float, "batch", " {self.input_dim}")
        check(TokenModel, "forward", Int, "batch time")
        check(TokenModel, "step", Int, "batch")
        yield


def _checked(model: Any, method: str, kind: Any, axes: str, channels: str) -> Any:
    """A copy of `method` of `model` that checks its first argument and its outputs."""
    from beartype import beartype
    from jaxtyping import Float, jaxtyped

    inner = getattr(model, method)
    _, first, *rest = inspect.signature(inner).parameters
    output = Float[Tensor, axes + " {self.output_dim}"]
    pair = tuple[output, Any]
    copy = types.FunctionType(
        inner.__code__, inner.__globals__, method, inner.__defaults__, inner.__closure__
    )
    copy.__annotations__ = {
        first: kind[Tensor, axes + channels],
        "return": pair if method == "step" else output | pair if "return_state" in rest else output,
    }
    return jaxtyped(typechecker=beartype)(copy)
