"""How large the models are, and how much of the past they can keep."""

from pathlib import Path
from typing import cast

from seq2seq import checks, schema
from seq2seq.build import build
from seq2seq.models.model import SequenceModel
from seq2seq.results import store
from seq2seq.training import configure


def measure(json: Path | None = None) -> None:
    """Parameters for one input and one output channel, and what one output can depend on.

    Args:
        json: write the rows to this file, too
    """
    checks.writable("json", json)
    rows = []
    print("model              width  layers  parameters  memory")
    for path in sorted((schema.CONFIGS / "model").glob("*.yaml")):
        _, module = build(configure(["task=shift", f"model={path.stem}"]))
        model = cast(SequenceModel, module.model)
        memory = "all inputs"
        if model.receptive_field is not None:
            memory = f"receptive field of {model.receptive_field:,}"
        elif model.state_size is not None:
            memory = f"state of {model.state_size:,}"
        row = {
            "model": path.stem,
            "width": model.hidden_size,
            "layers": model.num_layers,
            "parameters": sum(p.numel() for p in model.parameters()),
            "memory": memory,
        }
        print("{:<18} {:>5} {:>7} {:>11,}  {}".format(*row.values()), flush=True)
        rows.append(row)
    store(json, rows)
