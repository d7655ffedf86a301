"""The page of text: a model continues what one types."""

import itertools
from collections.abc import Mapping
from typing import Any

from seq2seq.explorer import trained
from seq2seq.explorer.page import Blocks, Choice, Controls, Note, Page, Slider, TextBox, Writing

LEVELS = (("char", "characters"), ("word", "words"))

#: How many of the likeliest tokens the next one is drawn from; 0: any.
CUTS = (("0", "all tokens"), *((str(k), f"the {k} likeliest") for k in (40, 10, 5, 2)))

#: Tokens that are sent together.
PIECE = 10


class Text(Page):
    title = "Text"
    sentence = "A model of Shakespeare's characters or words continues what you type."
    about = (
        "A model that has learnt to predict the next character or word continues what you type. "
        "Each is drawn with a probability proportional to <i>p</i><sup>1/<i>T</i></sup>: a low "
        "temperature <i>T</i> takes what is likely, a high one dares more."
    )
    start = "Write"
    refresh = "Write another"

    def controls(self) -> Controls:
        level = yield Choice("level", "It writes", LEVELS)
        models = [*trained.packaged(f"text-{level}-"), *trained.runs(self.outputs, level)]
        yield Choice("model", "Model", [*zip(models, trained.labels(models), strict=True)])
        yield TextBox("prompt", "Prompt", "ROMEO:\n", rows=3)
        yield Slider("temperature", "Temperature", 0, 1.5, 0.7, step=0.05)
        units = dict(LEVELS)[level]
        yield Slider("length", "Length", 50, 2000, 600 if level == "char" else 150, 50, units)
        yield Choice("top_k", "Choose among", CUTS)

    def update(self, values: Mapping[str, Any], seed: int, width: int) -> Blocks:
        from seq2seq.build import threads
        from seq2seq.generate import stream

        run = trained.find(self.outputs, values["model"], self.allow)
        model, vocabulary = trained.load_text(run)
        prompt = values["prompt"]
        if unknown := sorted(set(vocabulary.unknown(prompt))):
            listed = ", ".join(repr(token) for token in unknown[:12])
            more = f" and {len(unknown) - 12} more" if len(unknown) > 12 else ""
            yield Note("unknown", f"Never seen in training, read as unknown: {listed}{more}.")
        yield Writing("text", prompt)
        pieces = stream(
            model,
            vocabulary,
            prompt,
            values["length"],
            values["temperature"],
            int(values["top_k"]) or None,
            seed=seed,
        )
        for _ in range(0, values["length"], PIECE):
            with threads(1):  # one token at a time is slower on more
                piece = "".join(itertools.islice(pieces, PIECE))
            yield Writing("text", piece)
