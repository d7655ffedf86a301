"""The page of the architectures: which inputs reach one output, through which layers."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from seq2seq.explorer import trained
from seq2seq.explorer.page import Block, Choice, Controls, Figure, Note, Page, Slider

if TYPE_CHECKING:
    from seq2seq.models.model import SequenceModel
    from seq2seq.tasks import InputProcess

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

#: Names of trained models on real sequences begin with one of these.
TRAINED = ("shift-", "lorenz96-")


class Architectures(Page):
    name: ClassVar[str] = "architectures"
    title: ClassVar[str] = "Architectures"
    about: ClassVar[str] = (
        "Which inputs can reach the last output <i>y<sub>T</sub></i>, and through which layers, "
        "read off a model with random weights, or a trained one. The bars are its "
        "|∂<i>y<sub>T</sub></i>/∂<i>x<sub>s</sub></i>|, relative to the largest: "
        "what can reach the output need not move it."
    )

    def controls(self) -> Controls:
        ours = [(str(name), f"{name}, trained") for g in TRAINED for name in trained.packaged(g)]
        model = yield Choice("model", "Model", [*MODELS.items(), *ours])
        length = yield Slider("length", "Length", 8, 64, 32, step=4, unit="steps")
        if model not in MODELS:
            return
        yield Slider("num_layers", "Layers", 1, 5, 3)
        yield Slider("hidden_size", "Width (hidden_size)", 4, 32, 8, step=4)
        if model in ("tcn", "tcn_plain"):
            yield Slider("kernel_size", "Kernel size", 1, 6, 2)
            yield Slider("dilation_base", "Dilation, per layer times", 1, 4, 2)
        if model == "transformer":
            yield Slider("window", "Window, full at the right", 1, length, length, unit="steps")
            heads = yield Choice("num_heads", "Heads", ("1", "2", "4"), "2")
            each = [(str(head), f"head {head + 1}") for head in range(int(heads))]
            yield Choice("head", "Attention of", [("mean", "all heads, averaged"), *each])

    def update(self, values: Mapping[str, Any], seed: int, width: int) -> Iterator[Block]:
        from seq2seq.analysis.figures import architecture
        from seq2seq.explorer import drawing
        from seq2seq.models import Transformer
        from seq2seq.seeds import generator
        from seq2seq.tasks import White

        kind, length = values["model"], values["length"]
        process: InputProcess = White()
        if kind in MODELS:
            name, model = MODELS[kind], _built(values, seed)
        else:
            run = trained.find(self.outputs, kind, self.allow)
            name, (_, task, model) = kind, trained.load(run)
            process = task.input or process  # what it was trained on
        x = process.sample(4, length, 1, generator(seed, "explorer"))
        head = None if values.get("head", "mean") == "mean" else int(values["head"])
        inches = width / drawing.DPI
        reached = int(architecture.graph(model, length).reached[0].sum())
        layers = model.num_layers
        yield Figure(
            "architecture",
            drawing.svg(architecture.draw(model, x, head, inches)),
            f"{name} of {layers} layer{'s' * (layers > 1)}: {reached} of the last {length} "
            "inputs reach the last output.",
        )
        yield Note("numbers", _numbers(model))
        if isinstance(model, Transformer):
            yield Figure(
                "attention",
                drawing.svg(architecture.draw_attention(model, x, head, inches)),
                "The attention weights of each layer on one sequence, queries against keys.",
            )


def _built(values: Mapping[str, Any], seed: int) -> "SequenceModel":
    """The model that the controls say, its parameters drawn from the seed."""
    import torch

    from seq2seq import models
    from seq2seq.models.model import SequenceModel
    from seq2seq.seeds import stream_seed

    kind, size, layers = values["model"], values["hidden_size"], values["num_layers"]
    made: SequenceModel
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream_seed(seed, "initialisation"))
        if kind in ("tcn", "tcn_plain"):
            made = models.TCN(
                1,
                1,
                size,
                layers,
                values["kernel_size"],
                values["dilation_base"],
                "plain" if kind == "tcn_plain" else "residual",
            )
        elif kind == "transformer":
            window = None if values["window"] == values["length"] else values["window"]
            heads = int(values["num_heads"])
            made = models.Transformer(1, 1, size, layers, heads, window=window)
        elif kind in ("lru", "s4d", "diagonal_rnn"):
            classes = {"lru": models.LRU, "s4d": models.S4D, "diagonal_rnn": models.DiagonalRNN}
            made = classes[kind](1, 1, size, layers)
        else:
            made = models.RNN(1, 1, "tanh" if kind == "rnn" else kind, size, layers)
    return made.eval()


def _numbers(model: "SequenceModel") -> str:
    """Parameters, receptive field and state in one line."""
    parameters = sum(p.numel() for p in model.parameters())
    field, state = model.receptive_field, model.state_size
    sees = "Every earlier input" if field is None else f"The last {field:,} inputs"
    carries = "grows with time" if state is None else f"is {state:,} real numbers"
    return (
        f"{sees} can reach an output. What must be remembered from step to step to compute the "
        f"next output {carries}; the model has {parameters:,} parameters."
    )
