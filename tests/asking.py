"""Ask for a run in one of the `bad_inputs.WAYS`, as a program that may not take what it likes.

    asking.py WAY FOLDER SMALL GIVEN

SMALL and GIVEN are lists of arguments in JSON: what keeps a run small, and what is asked for.
"""

import json
import resource
import runpy
import sys
from pathlib import Path
from typing import Any

import yaml
from shell import ROOT, TRAIN

#: What an input may take: seconds of the processor, and bytes.
LIMITS = {resource.RLIMIT_CPU: 20, resource.RLIMIT_AS: 6_000_000_000, resource.RLIMIT_CORE: 0}


def main(way: str, folder: Path, small: list[str], given: list[str]) -> int:
    """The exit code."""
    if way == "train":
        import seq2seq
        from seq2seq.schema import ConfigError

        try:
            run = seq2seq.train([*small, *given])
        except ConfigError as error:
            print(f"train.py: {error}", file=sys.stderr)
            return 2
        return int(run.status not in ("finished", "diverged"))
    if way == "yaml":
        given = experiment(given, folder)
    flags = {"dry_run": ["dry_run=true"], "sweep": ["-m"]}.get(way, [])
    flags += [argument for argument in given if argument.startswith("--")]
    others = [argument for argument in given if not argument.startswith("-")]
    sys.argv = ["train.py", *flags, *small, *others]
    runpy.run_path(TRAIN, run_name="__main__")
    return 0


def experiment(arguments: list[str], folder: Path) -> list[str]:
    """The same, with what can stand in a file in a file."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    values: dict[str, Any] = {}
    others = []
    for argument in arguments:
        try:
            (parsed,) = OverridesParser.create().parse_overrides([argument])
            plain = parsed.value()
        except Exception:  # not a value at all
            others.append(argument)
            continue
        key = parsed.key_or_group
        if "." not in key or parsed.is_delete() or parsed.is_sweep_override():
            others.append(argument)
            continue
        *parents, name = key.split(".")
        node = values
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = plain
    if not values:
        return others
    path = folder / "conf" / "experiment" / "bad.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("# @package _global_\n" + yaml.safe_dump(json.loads(json.dumps(values))))
    return [f"--config-dir={folder / 'conf'}", *others, "experiment=bad"]


if __name__ == "__main__":
    for kind, most in LIMITS.items():
        resource.setrlimit(kind, (most, most))
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), *map(json.loads, sys.argv[3:])))
