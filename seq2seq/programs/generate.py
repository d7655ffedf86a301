"""Let a trained language model write: that of a run, or one of the package by its name.

seq2seq generate run=text-char-lstm prompt="To be" length=600 temperature=0.8 seed=1
"""

import itertools
import sys

from seq2seq import checks


def main(
    run: str,
    prompt: str = "",
    length: int = 600,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    num_samples: int = 1,
) -> None:
    """Print `num_samples` continuations, the n-th with the seed `seed` + n."""
    from seq2seq import pretrained
    from seq2seq.generate import load, stream

    checks.integer("num_samples", num_samples)
    model, vocabulary = load(pretrained.run(run))
    if unknown := sorted(set(vocabulary.unknown(prompt))):
        print(f"not seen in training, read as <unk>: {unknown}", file=sys.stderr)
    for n in range(num_samples):
        pieces = stream(model, vocabulary, prompt, length, temperature, top_k, top_p, seed + n)
        for piece in itertools.chain([prompt], pieces):
            print(piece, end="", flush=True)
        print("\n" + "-" * 20 if n < num_samples - 1 else "")
