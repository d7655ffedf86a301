"""How long a model trained on task=lorenz96_forecast predicts Lorenz 96 on its own.

seq2seq rollout run=<folder> prefix=64 threshold=0.5
"""

from typing import cast

from seq2seq import checks


def main(run: str, prefix: int = 64, threshold: float = 0.5) -> None:
    """Print the horizons over the test trajectories, in time units."""
    from seq2seq import pretrained
    from seq2seq.build import build, load_model
    from seq2seq.generate import horizon, rollout
    from seq2seq.models.model import SequenceModel

    checks.positive("threshold", threshold)
    found = pretrained.run(run)
    task, _ = build(found.config)
    x, y = task.split("test")
    if x.shape != y.shape or not x[:, 1:].equal(y[:, :-1]):
        raise ValueError(
            f"a rollout needs a task whose targets are its next inputs, as lorenz96_forecast; "
            f"{run} is on {type(task).__name__}"
        )
    checks.within("prefix", prefix, f"[1, {task.length}]", task.length // 2)
    steps = task.length - prefix + 1
    truth = y[:, prefix - 1 :]
    rolled = rollout(cast(SequenceModel, load_model(found)), x[:, :prefix], steps)
    still = x[:, prefix - 1 : prefix].expand_as(truth)
    for name, path in {"model": rolled, "persistence": still}.items():
        times = horizon(path, truth, task.dt, threshold)
        low, middle, high = times.quantile(times.new_tensor([0.25, 0.5, 0.75])).tolist()
        print(f"{name:<12} horizon {middle:.2f} ({low:.2f} to {high:.2f}) of {steps * task.dt:.2f}")
