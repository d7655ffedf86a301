"""Test a trained model on other data: `python scripts/evaluate.py run=<folder> task.length=512`."""

import sys

from seq2seq.schema import explain


def main(arguments: list[str]) -> int:
    """Print the metrics beside the reference predictors'; exit code 2 for what cannot be read."""
    folders = [a.removeprefix("run=") for a in arguments if a.startswith("run=")]
    if len(folders) != 1 or {"-h", "--help"} & set(arguments):
        print(f"{__doc__}\nAny task.* key of the run may be changed.", file=sys.stderr)
        return 2
    try:
        from seq2seq import pretrained
        from seq2seq.evaluate import evaluate

        overrides = [a for a in arguments if not a.startswith("run=")]
        for key, value in evaluate(pretrained.run(folders[0]), overrides).items():
            print(f"  {key:<26} {value:.4g}")
    except Exception as error:
        print(f"evaluate.py: {explain(error)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
