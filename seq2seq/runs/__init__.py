"""A run is a folder: its identity, its files, and reading many of them back."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import DictConfig, OmegaConf

from seq2seq.runs.locks import is_held
from seq2seq.schema import signature

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

#: A run with one of these statuses is complete: asked for again, it is skipped.
FINAL = ("finished", "diverged")

#: Root keys that do not change the numbers. `max_steps` is left out of the hash and stands in the
#: folder's name instead, so that a longer run finds the shorter one that it can continue.
NOT_IDENTITY = ("logger", "name", "claim", "force", "dry_run", "allow", "paths", "hydra")
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
#: Callbacks that watch a run without changing its course, or leave it to be continued.
NOT_IDENTITY_CALLBACKS = ("progress", "figures", "checkpoints", "snapshots", "pruning")


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds either the old or the new content, never a part of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


# -------------------------------------------------------------------------------------- identity


def identity(cfg: DictConfig) -> dict[str, Any]:
    """The resolved config without what leaves the numbers unchanged."""
    plain = resolved(cfg)
    kept = {key: value for key, value in plain.items() if key not in NOT_IDENTITY}
    kept["trainer"] = _without(plain["trainer"], NOT_IDENTITY_TRAINER)
    kept["callbacks"] = _without(plain.get("callbacks") or {}, NOT_IDENTITY_CALLBACKS)
    kept["task"] = _without(plain["task"], ("cache",))
    if plain["task"].get("path"):
        kept["task"]["content"] = _content_hash(Path(plain["task"]["path"]))
    return kept


def _content_hash(path: Path) -> str | None:
    """Of a file, or of the files of a folder: changed data make another run."""
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    try:
        for file in files:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    except OSError:
        return None  # the task itself says what is wrong with it
    return digest.hexdigest()


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The config as plain dictionaries, interpolations resolved, without Hydra's own node."""
    own = {str(key): cfg[key] for key in cfg if key != "hydra"}
    return {
        key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for key, value in own.items()
    }


def _without(mapping: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in names}


def trajectory_hash(cfg: DictConfig) -> str:
    """Eight hex digits that runs share exactly when one of them continues the other."""
    text = json.dumps(identity(cfg), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def run_folder(cfg: DictConfig) -> Path:
    """`<paths.outputs>/<name or task>/<what differs from the defaults>-<hash>`."""
    task = _snake(_class_name(cfg.task))
    group = cfg.name or task
    parts = [
        _snake(str(value)) if component else f"{key.rpartition('.')[2]}={_short(value)}"
        for key, value, component in _telling(cfg)
    ]
    readable = "-".join(parts if group != task else parts[1:])[:150]
    steps = f"steps={cfg.trainer.max_steps}"
    return Path(cfg.paths.outputs) / group / f"{readable}-{steps}-{trajectory_hash(cfg)}"


def telling(cfg: DictConfig) -> dict[str, Any]:
    """Dotted keys and values that tell a run from others: what is not at its default, and seed."""
    return {key: value for key, value, _ in _telling(cfg)}


def _telling(cfg: DictConfig) -> Iterator[tuple[str, Any, bool]]:
    yield from _component("task", cfg.task)
    yield from _component("model", cfg.model)
    if cfg.optimizer.get("lr") not in (None, 1e-3):
        yield "optimizer.lr", cfg.optimizer.lr, False
    yield "seed", cfg.seed, False


def _component(path: str, node: DictConfig) -> Iterator[tuple[str, Any, bool]]:
    """A component's class, then what sweeps are about and what is not at its default."""
    yield path, _class_name(node), True
    for parameter in signature(str(node._target_)):
        key, value = f"{path}.{parameter.name}", node.get(parameter.name)
        usual = value == parameter.default and parameter.name not in ("k", "hidden_size")
        if parameter.name in ("seed", "cache") or usual:
            continue
        if isinstance(value, DictConfig) and "_target_" in value:
            yield from _component(key, value)
        elif value is not None:
            yield key, value, False


def _class_name(node: DictConfig) -> str:
    return str(node._target_).rsplit(".", 1)[1]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    text = re.sub(r"[^A-Za-z0-9.+_]+", "_", text).strip("_")
    return text if len(text) <= 24 else hashlib.sha256(text.encode()).hexdigest()[:6]


# ------------------------------------------------------------------------------------ run folder


class Run:
    """One run folder, read when asked for.

    Args:
        folder: where it lies; holds `config.yaml`, `history.npz`, `checkpoints/`, TensorBoard
            events and, written last, `result.json`.
        allow: packages beside the project whose classes its config may name. What the stored
            config itself allows does not count: the folder may come from a stranger.
    """

    def __init__(self, folder: str | Path, allow: Iterable[str] = ()) -> None:
        self.folder = Path(folder)
        self.allow = tuple(allow)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, {self.status})"

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @cached_property
    def plain_config(self) -> dict[str, Any]:
        """The resolved config as plain dictionaries.

        Raises:
            ValueError: `config.yaml` is not what a run writes.
        """
        path = self.folder / "config.yaml"
        try:
            loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise ValueError(f"cannot read the config {path}: {reason}") from error
        if not isinstance(loaded, dict):
            raise ValueError(f"cannot read the config {path}: it is {type(loaded).__name__}")
        return loaded

    @property
    def config(self) -> DictConfig:
        """The resolved config, allowing what the reader allows."""
        return OmegaConf.create(self.plain_config | {"allow": list(self.allow)})

    @property
    def result(self) -> dict[str, Any]:
        """What `result.json` holds; empty while the run has not ended."""
        try:
            loaded: dict[str, Any] = json.loads((self.folder / "result.json").read_text())
        except (OSError, ValueError):
            return {}
        return loaded

    @property
    def status(self) -> str:
        """`finished`, `diverged`, `failed`, `stopped`, or else `running`, `killed` or `new`.

        A run is `running` while a living process has locked it, on this machine or on another that
        shares the folder; one that has begun and neither ended nor runs was `killed`.
        """
        status = self.result.get("status")
        if status:
            return str(status)
        if is_held(self.folder):
            return "running"
        return "killed" if (self.folder / "config.yaml").exists() else "new"

    @property
    def history(self) -> dict[str, "np.ndarray"]:
        """Arrays `step`, `loss` (training loss of every step) and `lr`."""
        import numpy as np

        with np.load(self.folder / "history.npz", allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}

    @property
    def vocabulary(self) -> Path:
        """The file of token names that a run on text has."""
        return self.folder / "vocabulary.json"

    @property
    def weights(self) -> Path:
        """The file of parameters that a published run has in place of checkpoints."""
        return self.folder / "model.safetensors"

    @property
    def checkpoints(self) -> list[Path]:
        """The checkpoints, the last one first."""
        found = (self.folder / "checkpoints").glob("step=*.ckpt")
        return sorted(found, key=checkpoint_step, reverse=True)

    def write_config(self, cfg: DictConfig) -> None:
        """Make the folder and store the resolved config in it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = yaml.dump(resolved(cfg), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
        write_atomically(self.folder / "config.yaml", text.encode())

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write `result.json`, the mark of a run that has ended."""
        data = json.dumps(result, indent=1).encode()
        write_atomically(self.folder / "result.json", data)

    def clear(self) -> None:
        """Remove what an earlier training left, keeping Hydra's record of the job."""
        (self.folder / "result.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        for pattern in ("history.npz", "kernel.npz", "eigenvalues.npz", "traceback.txt", ".slots"):
            (self.folder / pattern).unlink(missing_ok=True)
        for events in self.folder.glob("events.out.tfevents.*"):
            events.unlink()

    def shorter(self) -> "Run | None":
        """The longest run of the same trajectory with fewer steps, if one was finished."""
        wanted = re.search(r"-steps=(\d+)-([0-9a-f]{8})$", self.name)
        if wanted is None:
            return None
        steps, digest = int(wanted.group(1)), wanted.group(2)
        found: list[tuple[int, Run]] = []
        for folder in self.folder.parent.glob(f"*-{digest}"):
            other = re.search(r"-steps=(\d+)-", folder.name)
            if other and int(other.group(1)) < steps and Run(folder).checkpoints:
                found.append((int(other.group(1)), Run(folder)))
        return max(found, key=lambda pair: pair[0])[1] if found else None


# Those in C, where there are such, take a tenth of the time.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def checkpoint_step(path: Path) -> int:
    """The number of steps taken when the checkpoint `step=<n>.ckpt` was written."""
    return int(path.stem.partition("=")[2])


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without executing anything in it.

    Raises:
        ValueError: the file is damaged, cut short, or holds more than tensors and plain values.
    """
    import torch

    try:
        loaded: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        loaded["state_dict"], loaded["global_step"]
    except Exception as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise ValueError(f"cannot read the checkpoint {path}: {reason}") from error
    return loaded


def load_weights(path: Path) -> dict[str, Any]:
    """Read the parameters of a model, a file that can hold nothing but tensors.

    Raises:
        ValueError: the file is damaged, cut short, or of another kind.
    """
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"cannot read the weights {path}: {reason}") from error


def score(result: Mapping[str, Any]) -> float | None:
    """What a search minimises: `val/nmse`, or `val/loss` for a task of tokens; None without one."""
    value: float | None = result.get("val/nmse", result.get("val/loss"))
    return value


# ----------------------------------------------------------------------------------- collections


def find(root: str | Path) -> Iterator[Run]:
    """Every run folder below `root`, in the order of their names."""
    stack = [os.fspath(root)]
    found = []
    while stack:
        with os.scandir(stack.pop()) as entries:
            names = {entry.name: entry for entry in entries}
        if "config.yaml" in names:
            found.append(Run(Path(names["config.yaml"].path).parent))
        else:
            stack += [
                entry.path
                for name, entry in names.items()
                if not name.startswith(".") and entry.is_dir(follow_symlinks=False)
            ]
    return iter(sorted(found, key=lambda run: natural(run.name)))


def natural(name: str) -> list[Any]:
    """Sort key that puts `k=4` before `k=12`."""
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in re.split(r"(\d+)", name)]


def collect(root: str | Path) -> "pd.DataFrame":
    """One row per run below `root`: the config keys that vary, the result, and the folder.

    `model` and `task` are class names; other columns are dotted config keys (`task.k`,
    `model.hidden_size`, `optimizer.lr`, `seed`) and the keys of `result.json`.
    """
    import pandas as pd

    rows, results = [], []
    for run in find(root):
        rows.append(dict(flatten(run.plain_config)))
        results.append({"status": run.status, **run.result, "folder": str(run.folder)})
    configs = pd.DataFrame(rows)
    columns = {}
    for column in configs.columns:
        varies = configs[column].map(str).nunique() > 1 and not column.startswith("paths.")
        if column in ("task", "model", "seed") or varies:
            columns[column] = configs[column]
    return pd.concat([pd.DataFrame(columns), pd.DataFrame(results)], axis=1)


def flatten(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and plain values; a component's class name stands under its own key."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            if "_target_" in value:
                yield f"{prefix}{key}", str(value["_target_"]).rsplit(".", 1)[1]
            yield from flatten(value, f"{prefix}{key}.")
        elif key not in ("_target_", "_partial_"):
            yield f"{prefix}{key}", value
