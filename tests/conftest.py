"""Shared settings: one thread, so that numbers do not depend on the machine, `--shapes`, a browser.

A test that asks for a browser is marked `browser`: it needs Chromium (or Chrome) installed.
"""

import gc
import inspect
import shutil
import types
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

torch.set_num_threads(1)

MODEL_FILES = Path(__file__).parents[1] / "configs" / "model"

#: A browser that draws off the screen and calls nobody.
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shapes",
        action="store_true",
        help="check shapes and dtypes of every model's forward and step (jaxtyping, beartype)",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--shapes"):
        check_shapes()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


def pytest_collection_finish() -> None:
    gc.freeze()  # else a run's collection of garbage looks through all tests and imports


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "these tests need a browser: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


def check_shapes() -> None:
    """Check what goes into and comes out of `forward` and `step` of every registered model.

    forward: (batch, time, input_dim) -> (batch, time, output_dim), step the same without time, all
    floats; a token model takes integers without channels.
    """
    from jaxtyping import Float, Int

    from seq2seq.models.token import TokenModel

    targets = {yaml.safe_load(f.read_text()).get("_target_") for f in MODEL_FILES.glob("*.yaml")}
    for module, _, name in (target.rpartition(".") for target in targets if target):
        model = getattr(import_module(module), name)
        _check(model, "forward", Float, "batch time", " {self.input_dim}")
        _check(model, "step", Float, "batch", " {self.input_dim}")
    _check(TokenModel, "forward", Int, "batch time")
    _check(TokenModel, "step", Int, "batch")


def _check(model: Any, method: str, kind: Any, axes: str, channels: str = "") -> None:
    """Replace `method` of `model` by a copy that checks its first argument and its outputs."""
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
    setattr(model, method, jaxtyped(typechecker=beartype)(copy))
