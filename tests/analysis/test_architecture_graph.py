"""The graph of a model against its own derivatives, and the drawing against the graph."""

from functools import cache

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor, nn

from seq2seq import schema
from seq2seq.analysis import figures
from seq2seq.analysis.figures import architecture
from seq2seq.models import RNN, TCN, Transformer
from seq2seq.models.model import SequenceModel
from seq2seq.models.tcn import CausalConvolution
from seq2seq.models.token import TokenModel
from seq2seq.models.transformer import Block

IN, OUT = 2, 2

#: Overrides of `model`; every choice of the command line, then what distinguishes graphs.
VARIANTS = {
    **{name: [name] for name in schema.choices()["model"]},
    "rnn-deep": ["rnn", "num_layers=3"],
    "tcn-kernel-2": ["tcn", "num_layers=4", "kernel_size=2"],
    "tcn-base-3": ["tcn", "num_layers=2", "dilation_base=3"],
    "tcn-with-gaps": ["tcn_plain", "num_layers=2", "dilation_base=4"],
    "tcn-kernel-1": ["tcn", "num_layers=2", "kernel_size=1"],
    "window-1": ["transformer", "window=1"],
    "window-3": ["transformer", "window=3", "num_layers=3"],
}


@cache
def config(name: str) -> DictConfig:
    choice, *overrides = VARIANTS[name]
    schema.register()
    with initialize_config_dir(str(schema.CONFIGS), version_base="1.3"):
        small = ["model.hidden_size=8", *(f"model.{override}" for override in overrides)]
        return compose("train", ["task=shift", f"model={choice}", *small]).model


def build(name: str) -> SequenceModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = instantiate(config(name), input_dim=IN, output_dim=OUT)
    return model.double().eval()


def inputs(length: int, batch: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, length, IN, dtype=torch.float64, generator=generator)


def length_for(model: SequenceModel) -> int:
    """Beyond the receptive field, where there is one."""
    return 20 if model.receptive_field is None else model.receptive_field + 3


@pytest.mark.parametrize("name", VARIANTS)
def test_the_inputs_reached_are_those_with_a_derivative(name):
    model = build(name)
    length = length_for(model)
    x = inputs(length).requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[:, -1].sum(), x)
    found = architecture.graph(model, length)
    reached = found.reached[0]
    assert np.array_equal(reached, gradient.abs().sum((0, 2)).numpy() > 0)
    if model.receptive_field is None:
        assert reached.all()
    else:
        age = length - 1 - np.flatnonzero(reached)
        assert 1 + age.max() == model.receptive_field == found.receptive_field


@pytest.mark.parametrize(
    "name", [name for name in VARIANTS if name.startswith(("tcn", "transformer", "window"))]
)
def test_the_nodes_reached_are_those_with_a_derivative(name):
    """For every layer: of what it puts out, that is used which the last output depends on."""
    model = build(name)
    length = min(40, length_for(model))
    outputs: list[Tensor] = []

    def note(module: nn.Module, arguments: object, output: Tensor | tuple) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    for module in model.modules():
        if isinstance(module, CausalConvolution | Block):
            module.register_forward_hook(note)
    y = model(inputs(length))[:, -1].sum()
    reached = architecture.graph(model, length).reached[1:-1]
    assert len(outputs) == len(reached)
    for nodes, output in zip(reached, outputs, strict=True):
        (gradient,) = torch.autograd.grad(y, output, retain_graph=True)
        assert np.array_equal(nodes, gradient.abs().sum((0, 2)).numpy() > 0)


@pytest.mark.parametrize("name", ["transformer", "window-3", "transformer_5x32"])
def test_attention_weights_reproduce_each_block(name):
    model = build(name)
    assert isinstance(model, Transformer)
    taken: list[tuple[Tensor, Tensor, Tensor]] = []

    def note(block: Block, arguments: tuple[Tensor, ...], output: tuple) -> None:
        taken.append((arguments[0], output[0], output[1][1]))

    for layer in model.layers:
        layer.register_forward_hook(note)
    x = inputs(12)
    model(x)
    first = list(taken)  # before `attention` runs the blocks again
    weights = model.attention(x)
    for layer, w, (before, after, values) in zip(model.layers, weights, first, strict=True):
        heads = (w @ values).transpose(1, 2).reshape(before.shape)
        between = before + layer.mixing(heads)
        assert torch.allclose(between + layer.mlp(layer.mlp_norm(between)), after, atol=1e-12)
        assert torch.equal(w.sum((0, 1)) > 0, model.visible(torch.arange(12)))


def test_attention_is_drawn_head_by_head_or_averaged():
    model, x = build("transformer"), inputs(10)
    expected = model.attention(x[:1])[1][0].detach().numpy()
    for head, weights in ((None, expected.mean(0)), (2, expected[2])):
        figure = architecture.draw_attention(model, x, head)
        (image,) = figure.axes[1].images
        drawn = image.get_array()
        assert np.array_equal(drawn.mask, ~np.tri(10, dtype=bool))
        assert np.allclose(drawn.filled(0), weights)
    with pytest.raises(ValueError, match=r"head must be below model.num_heads=4, got head=4"):
        architecture.draw_attention(model, x, 4)


def points(figure, color: str) -> set[tuple[float, float]]:
    """Markers of one colour on the graph's axes."""
    return {
        (x, y)
        for line in figure.axes[0].lines
        if line.get_marker() in ("o", "s") and line.get_color() == color
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }


@pytest.mark.parametrize("name", ["tcn-base-3", "lstm", "window-3", "s4d"])
def test_the_drawing_shows_the_graph(name):
    model = build(name)
    figure = architecture.draw(model, inputs(24))
    found = architecture.graph(model, 24)
    levels, times = np.nonzero(found.reached)
    expected = {(float(t - 23), float(level)) for level, t in zip(levels, times, strict=True)}
    assert points(figure, figures.BLUE) == expected
    bars = {round(bar.get_x() + bar.get_width() / 2) for bar in figure.axes[1].patches}
    assert bars <= {t - 23 for t in np.flatnonzero(found.reached[0])}
    assert 0 in bars
    text = figure.axes[0].texts[0].get_text()
    field = model.receptive_field
    assert ("all inputs" in text) if field is None else (f"receptive field: {field} step" in text)
    labels = " ".join(t.get_text() for t in figure.axes[0].get_yticklabels())
    assert {"tcn-base-3": "dilation 3, kernel 3", "lstm": "state of 16"}.get(name, "") in labels


def test_a_receptive_field_that_is_cut_off_is_said_to_be():
    model = TCN(1, 1, 4, 5, 3)
    figure = architecture.draw(model, torch.randn(2, 20, 1))
    (text,) = figure.axes[0].texts
    assert text.get_text() == "receptive field: 125 steps, the last 20 drawn"


def test_a_model_of_text_is_drawn_behind_its_embedding():
    model = TokenModel(TCN(6, 9, 4, 2, 2), 9)
    tokens = torch.randint(9, (2, 12), generator=torch.Generator().manual_seed(0))
    assert architecture.graph(model, 12).receptive_field == 7
    assert "7 steps" in " ".join(
        t.get_text() for t in architecture.draw(model, tokens).axes[0].texts
    )


def test_an_unknown_architecture_is_refused():
    class Other(RNN):
        pass

    assert architecture.graph(Other(1, 1), 5).reached.shape == (3, 5)  # a recurrence like any other
    with pytest.raises(ValueError, match="Linear has no drawing"):
        architecture.graph(nn.Linear(1, 1), 5)
