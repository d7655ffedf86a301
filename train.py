"""Train a model on a task, or sweep over many.

python train.py model=tcn task=shift task.k=8
python train.py -m model=rnn,tcn task.k=4,8,16 seed=0,1,2
"""

import os
import sys

import hydra
from omegaconf import DictConfig

from seq2seq import schema
from seq2seq.processes import serve_parent

HELP = """\
Train a sequence model on a task with memory, or sweep over many.

  python train.py model=tcn task=shift task.k=8              one run
  python train.py -m model=rnn,tcn task.k=4,8 seed=0,1,2     a sweep
  python train.py experiment=plateau_shift                   a published claim, its sweep included
  python train.py ... dry_run=true                           list the jobs and an estimated time
  python train.py ... --cfg job                              show the config, train nothing

Set any value by its dotted key, as in task.length=64 optimizer.lr=3e-4 trainer.max_steps=5000.
Runs lie in outputs/ (tensorboard --logdir outputs); a complete one is not trained again.
Further flags: --hydra-help.

Choices:
"""


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def run_job(cfg: DictConfig) -> float | None:
    """One job: the data, the model, the fit, the test; returns the validation error."""
    from seq2seq.runs import score

    serve_parent()  # before the imports that take seconds
    from seq2seq.training import run

    return score(run(cfg).result)


def main() -> int:
    """Exit code 0 if every run ended, 1 if one failed, 2 for a config that cannot be run."""
    full_errors = "HYDRA_FULL_ERROR" in os.environ
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors through to this function
    for flag in {"-m", "--multirun"} & set(sys.argv):  # Hydra wants it before the overrides
        sys.argv.remove(flag)
        sys.argv.insert(1, flag)
    if {"--help", "-h"} & set(sys.argv):
        show_help()
        return 0
    try:
        schema.register(sys.argv[1:])
        run_job()
        return 0
    except KeyboardInterrupt:
        print("\nstopped; the same command continues from the last checkpoint", file=sys.stderr)
        return 130
    except Exception as error:
        if full_errors:
            raise
        print(f"train.py: {schema.explain(error)}", file=sys.stderr)
        return 2


def show_help() -> None:
    """Usage and all choices, read from the names of the config files: Hydra's own takes seconds."""
    print(HELP)
    for group, names in schema.choices(sys.argv[1:]).items():
        print(f"  {group}: {', '.join(names)}")


if __name__ == "__main__":
    sys.exit(main())
