"""What a run starts from: `init_from`, another run or weights set by hand."""

import functools
import hashlib
import re
from pathlib import Path
from typing import Any

from seq2seq.errors import ConfigError, nearest
from seq2seq.files import place
from seq2seq.runs.folder import Run, checkpoint_step, load_checkpoint, load_weights

#: What `init_from` says for weights set by hand, `seq2seq.models.constructions`.
CONSTRUCTION = "construction"


def source(text: str, outputs: str) -> Run:
    """The run in that folder or, below `outputs`, the longest whose name ends with that hash.

    Raises:
        ConfigError: there is none.
    """
    folder = place(text)
    if re.fullmatch(r"[0-9a-f]{8}", text) and not folder.exists():
        found = [Run(one) for one in place(outputs).rglob(f"*-steps=*-{text}")]
        trained = [(checkpoint_step(run.checkpoints[0]), run) for run in found if run.checkpoints]
        if trained:
            return max(trained, key=lambda pair: pair[0])[1]
        raise ConfigError(f"no run below {outputs} ends with -{text}; set init_from=<its folder>")
    if not (folder / "config.yaml").exists():
        meant = nearest(text, [CONSTRUCTION], "; give the folder that holds config.yaml")
        raise ConfigError(f"no run in init_from={text}{meant}")
    return Run(folder)


def weights(run: Run) -> dict[str, Any]:
    """The parameters of a run's trained model by their names, from its last readable checkpoint.

    Raises:
        ValueError: there is none.
    """
    if run.weights.exists():
        return load_weights(run.weights)
    errors = []
    for path in run.checkpoints:
        try:
            stored = load_checkpoint(path)["state_dict"].items()
            return {key.removeprefix("model."): value for key, value in stored}
        except ValueError as error:
            errors.append(str(error))
    raise ValueError(errors[0] if errors else f"no checkpoint in {run.folder}; train it first")


def weights_hash(text: str, outputs: str) -> str | None:
    """The SHA-256 of what `weights` gives; None where that fails, which the build says.

    Weights set by hand follow from the rest of the config.
    """
    if text == CONSTRUCTION:
        return CONSTRUCTION
    try:
        run = source(text, outputs)
        files = [run.weights] if run.weights.exists() else run.checkpoints
        states = tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files)
        return _hash(run.folder, states)
    except (OSError, ValueError):
        return None


@functools.lru_cache(maxsize=64)
def _hash(folder: Path, states: tuple[tuple[Path, int, int], ...]) -> str:
    """Of the weights in a folder whose files are in these states."""
    import torch

    digest = hashlib.sha256()
    for name, value in sorted(weights(Run(folder)).items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        flat = value.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().tobytes() if len(flat) else b"")
    return digest.hexdigest()
