"""Test a trained model on other data: `seq2seq evaluate run=<folder> task.length=512`."""


def main(*overrides: str, run: str) -> None:
    """Print the metrics beside the reference predictors'.

    Args:
        overrides: task.<key>=<value> for any key of the run's task, allow=[package]
        run: its folder, or the name of a trained model of the package
    """
    from seq2seq import pretrained
    from seq2seq.evaluate import evaluate

    for key, value in evaluate(pretrained.run(run), overrides).items():
        print(f"  {key:<26} {value:.4g}")
