"""What a run is: the part of its config that its numbers depend on, and its folder."""

import functools
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig

from seq2seq.files import place
from seq2seq.schema import class_attribute, plain

#: A config, or what `schema.plain` makes of it.
Config = DictConfig | Mapping[str, Any]

#: Root keys that do not change the numbers. `max_steps` is left out of the hash and stands in the
#: folder's name instead, so that a longer run finds the shorter one that it can continue.
NOT_IDENTITY = (
    *("logger", "name", "claim", "refuted_if", "force", "dry_run", "allow", "paths", "hydra"),
    "command",  # what the run is called, and how it was asked for
)
NOT_IDENTITY_TRAINER = (
    "max_steps",
    "logger",
    "log_every_n_steps",
    "enable_progress_bar",
    "enable_model_summary",
    "enable_checkpointing",
    "profiler",
    "default_root_dir",
)
#: Trainer arguments that only say in other words how far a run goes, and what the hash has instead.
NOT_COUNTED_TRAINER = {"max_epochs": -1, "max_time": None}
#: Counted among the callbacks of every run, as it was when hashes came into use.
REFERENCES = {"references": {"_target_": "seq2seq.callbacks.References"}}
#: Keys of tasks that came later, with the value by which a run is what it was without them.
ADDED = (("standardize", False), ("curriculum", None))
#: The same by the classes that have them.
ADDED_TO: dict[str, dict[str, Any]] = {
    "seq2seq.callbacks.StopAtTarget": {"stop": True},
    "seq2seq.models.LRU": {"parameterisation": "exp"},
    "seq2seq.models.RNN": {"forget_bias": 0.0},
    "seq2seq.models.S4D": {"parameterisation": "exp"},
    "seq2seq.tasks.MQAR": {"supervise": "answer"},
    "seq2seq.tasks.Induction": {"supervise": "answer"},
}
#: Keys of callbacks that were not counted before 0.2.0, whatever stood there.
FORMERLY_LEFT_OUT = (
    *("progress", "figures", "checkpoints", "snapshots", "pruning"),
    "generalisation",  # which came later
)


def identity(cfg: Config) -> dict[str, Any]:
    """The resolved config without what leaves the numbers unchanged."""
    return _identity(resolved(cfg))


def _identity(nodes: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in nodes.items() if key not in (*NOT_IDENTITY, "init_from")}
    if nodes.get("init_from"):
        from seq2seq.runs.start import weights_hash  # which knows folders

        kept["init_from"] = weights_hash(str(nodes["init_from"]), nodes["paths"]["outputs"])
    trainer = _without(nodes["trainer"], NOT_IDENTITY_TRAINER)
    kept["trainer"] = {key: NOT_COUNTED_TRAINER.get(key, value) for key, value in trainer.items()}
    callbacks = (nodes.get("callbacks") or {}).items()
    kept["callbacks"] = REFERENCES | {
        key: _former(node) for key, node in callbacks if changes_course(node)
    }
    kept["task"] = {
        key: value
        for key, value in _former(nodes["task"]).items()
        if key != "cache" and (key, value) not in ADDED
    }
    kept["model"] = _former(nodes["model"])
    if nodes["task"].get("path"):
        kept["task"]["content"] = _content_hash(place(nodes["task"]["path"]))
    return kept


def _former(node: Any) -> Any:
    """A component's node without keys that its class got later and that have their usual value."""
    if not isinstance(node, Mapping):
        return node
    added = ADDED_TO.get(str(node.get("_target_")), {})
    return {key: value for key, value in node.items() if key not in added or added[key] != value}


def changes_course(callback: Any) -> bool:
    """Whether a run with this callback may end elsewhere; its class says so if it does not."""
    if not isinstance(callback, Mapping):
        return False  # null: there is none
    return bool(class_attribute(str(callback["_target_"]), "changes_course", True))


def _content_hash(path: Path) -> str | None:
    """Of a file, or of the files of a folder: changed data make another run."""
    digest = hashlib.sha256()
    try:
        found = path.rglob("*") if path.is_dir() else [path]
        files = sorted(p for p in found if p.is_file())  # a pipe would be waited for
        for file in files:
            state = file.stat()
            digest.update(_file_hash(file, state.st_mtime_ns, state.st_size, state.st_ino))
    except OSError:
        return None  # the task itself says what is wrong with it
    return digest.hexdigest() if files else None


@functools.lru_cache(maxsize=4096)
def _file_hash(path: Path, *state: int) -> bytes:
    """Of the content of a file in a state that it has not left since."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def resolved(cfg: Config) -> dict[str, Any]:
    """The config as plain dictionaries, interpolations resolved, without Hydra's own node."""
    return {key: _given(node) for key, node in plain(cfg).items()}


def _given(value: Any) -> Any:
    """Without the keys of a mapping that have no value; the same object where all have one."""
    if not isinstance(value, dict):
        return value
    kept = {key: _given(item) for key, item in value.items() if item != MISSING}
    alike = len(kept) == len(value) and all(kept[key] is value[key] for key in kept)
    return value if alike else kept


def _without(mapping: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in names}


def trajectory_hash(cfg: Config) -> str:
    """Eight hex digits that runs share exactly when one of them continues the other."""
    return _digest(identity(cfg))


def _digests(nodes: Mapping[str, Any]) -> Iterator[str]:
    """The hash, and that of versions before 0.2.0 where it told the run from all others."""
    kept, callbacks = _identity(nodes), nodes.get("callbacks") or {}
    yield _digest(kept)
    if not any(changes_course(callbacks.get(key)) for key in FORMERLY_LEFT_OUT):
        former = _without(callbacks, FORMERLY_LEFT_OUT)
        yield _digest(kept | {"callbacks": {k: _former(node) for k, node in former.items()}})


def _digest(kept: Mapping[str, Any]) -> str:
    text = json.dumps(kept, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


#: What ends the name of a run's folder, and tells the run.
END = re.compile(r"-(steps=\d+-\w{8})$")


def ending(name: str) -> str:
    """What ends the name of a run's folder, `steps=<n>-<hash>`; empty for another folder."""
    found = END.search(name)
    return found[1] if found else ""


def ends(parent: Path) -> dict[str, str]:
    """The names in a folder of runs by their ends, `steps=<n>-<hash>`, which tell a run."""
    try:
        names = sorted(os.listdir(parent), reverse=True)
    except OSError:
        return {}
    return {end: name for name in names if (end := ending(name))}


def run_folder(
    cfg: Config, among: Callable[[Path], Mapping[str, str]] = ends, label: str | None = None
) -> Path:
    """`<paths.outputs>/<name or task>/<label>-steps=<n>-<hash>`.

    Steps and hash tell the run. A folder that has them is the run's, whatever else it is called:
    by another command, or by a former version.

    Args:
        cfg: of the run.
        among: gives the `ends` of a folder; where many runs are asked for, from its last listing.
        label: what a new folder is called; None for what the config says, or its model.
    """
    nodes = resolved(cfg)
    parent = place(nodes["paths"]["outputs"]) / group_name(nodes)
    label = label or (nodes.get("command") or {}).get("label") or snake(class_name(nodes["model"]))
    steps = f"steps={nodes['trainer']['max_steps']}"
    digests = _digests(nodes)
    first = next(digests)
    folder = parent / f"{label}-{steps}-{first}"
    if not folder.exists():
        known = among(parent)
        for digest in itertools.chain([first], digests):
            if found := known.get(f"{steps}-{digest}"):
                return parent / found
    return folder


def group_name(nodes: Mapping[str, Any]) -> str:
    """The name of the folder that a run's folder lies in: that of its experiment or its task."""
    return str(nodes.get("name") or snake(class_name(nodes["task"])))


def class_name(node: Mapping[str, Any]) -> str:
    """The name of a component's class."""
    return str(node["_target_"]).rpartition(".")[2]


def snake(name: str) -> str:
    """The name of a class in small letters, `AdaGrad` as `ada_grad`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
