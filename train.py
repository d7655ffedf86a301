"""Train a model on a task, or sweep over many.

python train.py model=tcn task=shift task.k=8
python train.py -m model=rnn,tcn task.k=4,8,16 seed=0,1,2
"""

import contextlib
import io
import os
import re
import sys

import hydra
from omegaconf import DictConfig

from seq2seq import schema


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def run_job(cfg: DictConfig) -> float | None:
    """One job: the data, the model, the fit, the test; returns the validation NMSE."""
    from seq2seq.training import run

    return run(cfg).result.get("val/nmse")


def main() -> int:
    """Exit code 0 if every run ended, 1 if one failed, 2 for a config that cannot be run."""
    full_errors = "HYDRA_FULL_ERROR" in os.environ
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors through to this function
    for flag in {"-m", "--multirun"} & set(sys.argv):  # Hydra wants it before the overrides
        sys.argv.remove(flag)
        sys.argv.insert(1, flag)
    schema.register()
    try:
        if {"--help", "-h"} & set(sys.argv):
            show_help()
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
    """Hydra's help without the schemas, which are no choices of the user's."""
    text = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(text):
        run_job()
    print(re.sub(r", \w+_schema|\w+_schema, ", "", text.getvalue()))
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
