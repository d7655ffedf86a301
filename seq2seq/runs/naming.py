"""What a run is called: what its sweep varies, or what was typed of a single one, and no more."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from seq2seq.files import read
from seq2seq.runs.identity import (
    END,
    NOT_COUNTED_TRAINER,
    NOT_IDENTITY,
    NOT_IDENTITY_TRAINER,
    changes_course,
    class_name,
    ending,
    group_name,
    snake,
)

#: Most letters of a run's name, and of a value in it.
LONGEST, LONGEST_VALUE = 60, 24
#: The file that lists the runs a folder is to hold, and most bytes of it.
PLAN, LARGEST = "jobs.txt", 2**26


def not_shared(jobs: Sequence[Sequence[str]]) -> list[list[str]]:
    """Each job's overrides that it does not share with all the others; of one job alone all."""
    shared = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
    return [
        [text for text in job if text not in shared and not re.match(r"[+~]*hydra\b", text)]
        for job in jobs
    ]


def short(keys: Iterable[str]) -> dict[str, str]:
    """Each key by its last part, or whole where others end alike."""
    last = {key: key.rpartition(".")[2] for key in keys}
    names = [*last.values()]
    return {key: name if names.count(name) < 2 else key for key, name in last.items()}


def label(overrides: Sequence[str], nodes: Mapping[str, Any]) -> str:
    """The name of a run, as `lstm-k=4-seed=0`.

    Choices of config groups come first and stand for themselves, a value beside the last part of
    its key. What has no part in the numbers, or is the name of the folder of runs, is left out.

    Args:
        overrides: what is to be told of the run, from `not_shared`.
        nodes: its config, as plain dictionaries.
    """
    told = {}
    for text in overrides:
        key, equals, value = text.lstrip("+").partition("=")
        chosen = "/" in key or ("." not in key and isinstance(nodes.get(key), Mapping))
        if equals and tells(key, nodes) and not (chosen and value == group_name(nodes)):
            told[key.replace("/", ".")] = (_brief(value), chosen)
    groups = [value for value, chosen in told.values() if chosen]
    names = short(told)
    values = [f"{names[key]}={value}" for key, (value, chosen) in told.items() if not chosen]
    words = [*groups, *values] or [choices(nodes)["model"]]
    text = words[0]
    for word in words[1:]:
        if len(text) + 1 + len(word) <= LONGEST:
            text += f"-{word}"
    return text[:LONGEST]


def tells(key: str, nodes: Mapping[str, Any]) -> bool:
    """Whether a key tells of what a run is; its steps stand at the end of its folder's name."""
    root, _, below = key.partition(".")
    if root == "trainer" and below in (*NOT_IDENTITY_TRAINER, *NOT_COUNTED_TRAINER):
        return False
    if root == "callbacks" and below:
        return changes_course((nodes.get(root) or {}).get(below.partition(".")[0]))
    return root not in (*NOT_IDENTITY, "experiment") and key != "task.cache"


def _brief(value: str) -> str:
    """A value in short: of a path the last part, of a number with a point four digits."""
    text = value.strip("'\"").rstrip("/").rpartition("/")[2]
    if re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", text) and not text.isdecimal():
        with suppress(ValueError):
            text = f"{float(text):.4g}"
    return re.sub(r"[^A-Za-z0-9.+_-]+", "_", text).strip("_")[:LONGEST_VALUE] or "_"


def own(cfg: DictConfig, hydra: Any = None) -> DictConfig:
    """A job's config without Hydra's part, and with `command`: what that says of the command.

    That is the run's `label`, its `overrides`, and the `choices` of config groups.

    Args:
        cfg: as composed.
        hydra: Hydra's part where `cfg` is without it.
    """
    told = cfg.hydra if hydra is None else hydra
    kept: DictConfig = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    overrides = [str(text) for text in told.overrides.task]
    with open_dict(kept):
        kept.command = {"overrides": overrides, "choices": chosen(told)}
        # A sweep has chosen the folder; see `seq2seq.sweep.sweeper.placement`.
        sweep: Any = OmegaConf.to_container(told.sweep, resolve=False)
        folder = str(sweep["subdir"])
        kept.command.label = END.sub("", folder) if ending(folder) else label(overrides, kept)
    return kept


def chosen(hydra: DictConfig) -> dict[str, str]:
    """The choices of config groups that Hydra's part of a config tells, as `model: lstm`."""
    return {
        str(group): str(name)
        for group, name in hydra.runtime.choices.items()
        if name is not None and not str(group).startswith("hydra/")
    }


def choices(nodes: Mapping[str, Any]) -> dict[str, str]:
    """What was chosen of each config group; of a run that does not say so, the classes' names."""
    classes = {
        str(group): snake(class_name(node))
        for group, node in nodes.items()
        if isinstance(node, Mapping) and "_target_" in node
    }
    return classes | dict((nodes.get("command") or {}).get("choices") or {})


def read_plan(parent: Path) -> dict[str, str]:
    """The wanted runs of a folder: the overrides of each by its folder's name."""
    try:
        lines = read(parent / PLAN, parent, LARGEST).decode(errors="replace").splitlines()
    except (OSError, ValueError):
        return {}
    parts = (line.partition("\t") for line in lines)
    return {name: text for name, _, text in parts if name == Path(name).name}


def varied(plans: Collection[str]) -> dict[str, list[str]]:
    """The keys that the runs of a folder were told apart by, and the values that each takes.

    Args:
        plans: the overrides of each, from `read_plan`.
    """
    found: dict[str, dict[str, None]] = {}
    for text in plans:
        for key, value in re.findall(r"(?:^|\s)\+*([A-Za-z_][\w./]*)=(\S*)", text):
            found.setdefault(key.replace("/", "."), {})[value] = None
    return {key: [*values] for key, values in found.items()}
