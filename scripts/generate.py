"""Let a trained language model write.

python scripts/generate.py run=<folder> prompt="To be" length=600 temperature=0.8 seed=1
python scripts/generate.py run=text-char-lstm          a trained model of the package
"""

import sys
from typing import Any

from seq2seq.schema import nearest

KEYS: dict[str, Any] = {"run": str, "prompt": str, "length": int, "temperature": float}
KEYS |= {"top_k": int, "top_p": float, "seed": int, "num_samples": int}


def main(arguments: list[str]) -> None:
    """Print `num_samples` continuations, the n-th with the seed `seed` + n."""
    values: dict[str, Any] = {"prompt": "", "seed": 0, "num_samples": 1}
    for key, _, text in (argument.partition("=") for argument in arguments):
        if key not in KEYS:
            raise ValueError(f"unknown key {key}{nearest(key, KEYS)}")
        values[key] = KEYS[key](text)
    if "run" not in values:
        raise ValueError("no run given; add run=<folder>")
    from seq2seq import pretrained
    from seq2seq.generate import load, stream

    model, vocabulary = load(pretrained.run(values.pop("run")))
    if unknown := sorted(set(vocabulary.unknown(values["prompt"]))):
        print(f"not seen in training, read as <unk>: {unknown}", file=sys.stderr)
    first = values.pop("seed")
    for seed in range(first, first + values.pop("num_samples")):
        print(values["prompt"], end="", flush=True)
        for piece in stream(model, vocabulary, seed=seed, **values):
            print(piece, end="", flush=True)
        print("\n" + "-" * 20 if seed < first else "")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ValueError as error:
        sys.exit(f"generate.py: {error}")
