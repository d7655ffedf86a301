"""The page of the architectures: which inputs reach one output, through which layers."""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from seq2seq import schema
from seq2seq.explorer import trained
from seq2seq.explorer.page import Blocks, Choice, Controls, Note, Page, Slider

if TYPE_CHECKING:
    from seq2seq.tasks import InputProcess

#: Configs of models, and what they are called here.
MODELS = {
    "tcn": "TCN, residual",
    "tcn_plain": "dilated convolutions, plain",
    "rnn": "tanh RNN",
    "lstm": "LSTM",
    "gru": "GRU",
    "diagonal_rnn": "diagonal RNN",
    "lru": "LRU",
    "s4d": "S4D",
    "transformer": "Transformer",
}

#: Shown where a model's constructor has a parameter of the name.
SLIDERS = (
    Slider("num_layers", "Layers", 1, 5, 3),
    Slider("hidden_size", "Width (hidden_size)", 4, 32, 8, step=4),
    Slider("kernel_size", "Kernel size", 1, 6, 2),
    Slider("dilation_base", "Dilation, per layer times", 1, 4, 2),
)


class Architectures(Page):
    title = "Architectures"
    sentence = "Which inputs reach an output, through which layers, and how much each moves it."
    about = (
        "Which inputs can reach the last output <i>y<sub>T</sub></i>, and through which layers, "
        "read off a model with random weights, or a trained one. The bars are its "
        "|∂<i>y<sub>T</sub></i>/∂<i>x<sub>s</sub></i>|, relative to the largest: "
        "what can reach the output need not move it."
    )

    def controls(self) -> Controls:
        ours = [(name, f"{name}, trained") for name in trained.packaged(*trained.REAL)]
        names = trained.runs(self.outputs)
        runs = zip(names, trained.labels(names), strict=True)
        model = yield Choice("model", "Model", [*MODELS.items(), *ours, *runs])
        length = yield Slider("length", "Length", 8, 64, 32, step=4, unit="steps")
        if model not in MODELS:
            return
        shown = _parameters(model)
        for control in SLIDERS:
            if control.name in shown:
                yield control
        if "window" in shown:
            yield Slider("window", "Window, full at the right", 1, length, length, unit="steps")
        if "num_heads" in shown:
            heads = yield Choice("num_heads", "Heads", ("1", "2", "4"), "2")
            each = [(str(head), f"head {head + 1}") for head in range(int(heads))]
            yield Choice("head", "Attention of", [("mean", "all heads, averaged"), *each])

    def update(self, values: Mapping[str, Any], seed: int, width: int) -> Blocks:
        from seq2seq.analysis.figures import architecture
        from seq2seq.explorer import drawing
        from seq2seq.seeds import generator
        from seq2seq.tasks import White

        kind, length = values["model"], values["length"]
        process: InputProcess = White()
        channels = 1
        if kind in MODELS:
            name, model = MODELS[kind], _built(values, seed)
        else:
            run = trained.find(self.outputs, kind, self.allow)
            name, (_, task, model) = kind, trained.load(run)
            process = task.input or process  # what it was trained on
            channels = task.input_dim
        x = process.sample(4, length, channels, generator(seed, "explorer"))
        head = None if values.get("head", "mean") == "mean" else int(values["head"])
        inches = width / drawing.DPI
        found = architecture.graph(model, length)
        reached = int(found.reached[0].sum())
        layers = len({row.name for row in found.rows}) - 1  # beside the outputs
        yield drawing.block(
            "architecture",
            architecture.draw(model, x, head, inches),
            f"{name} of {layers} layer{'s' * (layers > 1)}: {reached} of the last {length} "
            "inputs reach the last output.",
        )
        yield Note("numbers", _numbers(model))
        if architecture.attends(model):
            yield drawing.block(
                "attention",
                architecture.draw_attention(model, x, head, inches),
                "The attention weights of each layer on one sequence, queries against keys.",
            )


@functools.cache
def _preset(name: str) -> dict[str, Any]:
    """What `model=<name>` chooses: its own values over those of the presets that it names."""
    import yaml

    own = yaml.safe_load((schema.CONFIGS / "model" / f"{name}.yaml").read_text(encoding="utf-8"))
    below = [d for d in own.pop("defaults") if d != "_self_" and not d.endswith("_schema")]
    return {key: value for one in below for key, value in _preset(one).items()} | own


def _parameters(name: str) -> set[str]:
    """The names of what can be chosen of a model."""
    return {p.name for p in schema.signature(_preset(name)["_target_"])}


def _built(values: Mapping[str, Any], seed: int) -> Any:
    """The model that the controls say, its parameters drawn from the seed."""
    import torch
    from hydra.utils import instantiate

    from seq2seq.seeds import stream_seed

    shown = _parameters(values["model"])
    chosen = {key: value for key, value in values.items() if key in shown}
    if "window" in chosen and chosen["window"] == values["length"]:
        chosen["window"] = None
    if "num_heads" in chosen:
        chosen["num_heads"] = int(chosen["num_heads"])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream_seed(seed, "initialisation"))
        preset = _preset(values["model"]) | chosen
        return instantiate(preset, input_dim=1, output_dim=1).eval()


def _numbers(model: Any) -> str:
    """Parameters, receptive field and state in one line."""
    parameters = sum(p.numel() for p in model.parameters())
    field, state = (getattr(model, name, None) for name in ("receptive_field", "state_size"))
    sees = "Every earlier input" if field is None else f"The last {field:,} inputs"
    carries = "grows with time" if state is None else f"is {state:,} real numbers"
    return (
        f"{sees} can reach an output. What must be remembered from step to step to compute the "
        f"next output {carries}; the model has {parameters:,} parameters."
    )
