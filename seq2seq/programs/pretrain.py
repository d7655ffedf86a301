"""Train the models that come with the package and put them into it.

seq2seq pretrain                     all of them; what is trained already is not again
seq2seq pretrain shift-tcn           some; key=value is passed on to the training
seq2seq pretrain --keep json=results/pretrained.json     none; what their cards say
"""

from pathlib import Path


def main(*arguments: str, keep: bool = False, json: Path | None = None) -> None:
    """Rebuild the named models.

    Args:
        arguments: names of models, and overrides of their training
        keep: train nothing
        json: also write what the cards say to this file
    """
    from seq2seq import checks, pretrained, publish, results

    checks.writable("json", json)
    overrides = [a for a in arguments if "=" in a]
    names = [a for a in arguments if "=" not in a] or list(pretrained.recipes())
    for name in names:
        publish.recipe(name)
    rows = []
    for name in names:
        made = pretrained.find(name) if keep else publish.rebuild(name, overrides)
        size = sum(file.stat().st_size for file in made.folder.iterdir()) / 1000
        numbers = f"{made.result['parameters']:>9,} parameters {size:>6,.0f} kB"
        metric = "test/nmse" if "test/nmse" in made.result else "test/loss"
        print(f"{name:<22} {numbers}  {metric} {made.result[metric]:.4g}")
        rows.append({"name": name, "train": made.card["train"], **made.result})
    results.store(json, rows)
