"""Reading the files of a run folder, which may come from a stranger, in bounded time and memory.

Whatever is wrong with one becomes a ValueError of one line that names the file.
"""

import contextlib
import functools
import io
import json
import re
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from seq2seq.errors import printable
from seq2seq.files import read, regular
from seq2seq.schema.criteria import check_criteria

if TYPE_CHECKING:
    import numpy as np

#: Most bytes of a result, a config, a file's arrays unpacked, of data, and of parameters.
RESULT, CONFIG, ARRAYS, DATA, PARAMETERS = 2**16, 2**19, 2**28, 2**30, 2**33
#: Most values in a config, how deep they may be nested, and most letters of one.
VALUES, DEPTH, LETTERS = 20_000, 30, 10_000
#: Most numbers that a model or the data of a task are taken to have at once.
SIZE = 2**28

#: The arrays of each file, equal in length, and how many axes they may have beside their first.
AXES = {
    "history.npz": {"step": 0, "loss": 0, "lr": 0},
    "kernel.npz": {"true": 0, "learned": 0},
    "eigenvalues.npz": {"step": 0, "eigenvalues": 2},
}

#: Those that a file may have beside them.
FURTHER = {"eigenvalues.npz": {"responses": 1}}

#: The texts of a result.
TEXTS = ("status", "error", "success/metric")

#: How far a run has come, while it is training.
NOTE = ".progress"

# Those in C, where there are such, take a tenth of the time.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file leads to into one line that names it.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it cannot be read.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ValueError(printable(f"cannot read {path}: {reason}")) from error


def config(folder: Path) -> dict[str, Any]:
    """What the `config.yaml` of a run holds; its nodes are shared by runs, and not to be changed.

    Raises:
        FileNotFoundError, ValueError: see `reading`.
    """
    path = folder / "config.yaml"
    with reading(path):
        text = read(path, folder, CONFIG).decode()
        if not text.endswith("\n"):
            raise ValueError("it is cut off")
        loaded = _parsed(text)
        for key in ("task", "model"):
            node = loaded.get(key, {"_target_": ""})
            if not (isinstance(node, Mapping) and isinstance(node.get("_target_"), str)):
                raise ValueError(f"{key} is no node with a _target_")
        if not isinstance(loaded.get("seed", 0), int):
            raise ValueError("its seed is no whole number")
        callbacks = loaded.get("callbacks") or {}
        if not all(isinstance(node or {}, Mapping) for node in callbacks.values()):
            raise ValueError("callbacks are no nodes")
        check_criteria(loaded.get("refuted_if"))
        return loaded


def confined(node: Any, folder: Path, allow: Sequence[str], where: str = "") -> Any:
    """A config that names no data outside the folder of its run or those that `allow` names.

    A `cache` elsewhere is done without, so that nothing is fetched or written there; what a `path`
    elsewhere names is looked for in the folder itself.

    Raises:
        ValueError: it is not there, or the model or the task are too large for a run to read.
    """
    if isinstance(node, list):
        return [confined(item, folder, allow, where) for item in node]
    if not isinstance(node, dict):
        return node
    if where in ("model", "task"):
        _bound_size(node, where)
    kept = {}
    for key, value in node.items():
        name = f"{where}.{key}" if where else str(key)
        kept[key] = confined(value, folder, allow, name)
        if where not in ("", "paths") and key in ("path", "cache") and isinstance(value, str):
            homes = (Path(one).resolve() for one in allow if "/" in one)
            if not any(Path(value).resolve().is_relative_to(home) for home in homes):
                kept[key] = None if key == "cache" else str(_own_data(name, value, folder))
    return kept


def _own_data(name: str, value: str, folder: Path) -> Path:
    """Where the data called `value` lie in the folder of a run."""
    path = folder / value
    if not path.is_relative_to(folder) or ".." in path.parts or not path.exists():
        path = folder / path.name
    if not path.exists() and not (folder / "vocabulary.json").exists():  # which tells a text enough
        raise ValueError(
            f"{name}={value} lies outside the run's folder; copy it into that, or if you trust the "
            f"run, add allow=[{Path(value).absolute()}]"
        )
    if path.exists():
        with reading(path):
            content = b"" if path.is_dir() else read(path, folder, DATA)
            if content.startswith(b"PK"):
                unpacking(content, DATA).close()
    return path


def _bound_size(node: Mapping[str, Any], where: str) -> None:
    """Refuse what would take gigabytes, by the product of the two largest numbers and the depth."""
    numbers = [*sorted(_whole(node), reverse=True), 1, 1]
    width, layers = node.get("hidden_size"), node.get("num_layers")
    pairs = [numbers[0] * numbers[1], 2**16, width**2 if isinstance(width, int) else 0]
    size = max(pairs) * (layers if isinstance(layers, int) else 1)
    if size > SIZE:
        raise ValueError(f"{where} asks for about {size:.1e} numbers at once, more than {SIZE:.1e}")


def _whole(node: Any) -> Iterator[int]:
    """The whole numbers in a node, but for those that take no room."""
    if isinstance(node, int):
        yield abs(node)
    for key, item in node.items() if isinstance(node, dict) else ():
        if key not in ("seed", "train_size", "num_layers"):
            yield from _whole(item)


def _parsed(text: str) -> dict[str, Any]:
    """A config, from its nodes: of those of a sweep's runs most are alike, and parsed once.

    Raises:
        ValueError, YAMLError: it is none.
    """
    before, *nodes = re.split(r"^(?=[a-z_]+:)", text, flags=re.MULTILINE)
    foreign = before or re.search(r"^([^a-z_ -]|--)", text, re.MULTILINE)
    if nodes and not foreign and len(text) <= 2**15:
        with contextlib.suppress(ValueError, yaml.YAMLError):  # what looks like a node may be none
            return {key: value for node in nodes for key, value in _known(node).items()}
    return _loaded(text)


def _loaded(text: str) -> dict[str, Any]:
    _bound(text)
    loaded = yaml.load(text, Loader=_Loader)
    if not isinstance(loaded, dict):
        raise ValueError(f"it is {type(loaded).__name__}, not a config")
    return loaded


_known = functools.lru_cache(maxsize=2048)(_loaded)


def _bound(text: str) -> None:
    """Refuse YAML that unfolds to more than is written in it, or is nested deeper than configs."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it has aliases, which no run writes")
        if depth > DEPTH or count > VALUES or len(getattr(event, "value", "")) > LETTERS:
            raise ValueError("it is larger than any config")


def result(folder: Path) -> dict[str, Any]:
    """What the `result.json` of a run holds: texts under the keys of `TEXTS`, else numbers.

    Raises:
        FileNotFoundError, ValueError: see `reading`.
    """
    path = folder / "result.json"
    with reading(path):
        loaded = _mapping(path, "result")
        for key, value in loaded.items():
            if key in TEXTS:
                if not isinstance(value, str):
                    raise ValueError(f"{key} is no text")
            elif value is not None and not isinstance(value, int | float):
                raise ValueError(f"{key} is no number")
            else:
                float(value or 0)  # whole numbers know no bound
        return loaded


def _mapping(path: Path, what: str) -> dict[str, Any]:
    """What a JSON file of a run holds, by names."""
    loaded = json.loads(read(path, path.parent, RESULT))
    if not isinstance(loaded, dict):
        raise ValueError(f"it is {type(loaded).__name__}, not a {what}")
    return loaded


def provenance(folder: Path) -> dict[str, Any]:
    """What the `provenance.json` of a run holds: anything that JSON can, under names.

    Raises:
        FileNotFoundError, ValueError: see `reading`.
    """
    path = folder / "provenance.json"
    with reading(path):
        return _mapping(path, "provenance")


def progress(folder: Path) -> dict[str, float]:
    """What a training run has noted of its progress, the seconds left as of now where known.

    Raises:
        FileNotFoundError, ValueError: see `reading`.
    """
    path = folder / NOTE
    with reading(path):
        loaded = _mapping(path, "progress")
        note = {key: float(loaded[key]) for key in ("step", "of", "first", "loss")}
        if not all(0 <= note[key] < 2**53 for key in ("step", "of", "first")):
            raise ValueError("its steps are no counts")
        if "left" in loaded:
            since = max(0.0, time.time() - path.stat().st_mtime)
            note["left"] = max(0.0, float(loaded["left"]) - since)
        return note


def arrays(folder: Path, name: str) -> dict[str, "np.ndarray"]:
    """The arrays of the `.npz` file `name` of a run.

    Raises:
        FileNotFoundError, ValueError: see `reading`.
    """
    import numpy as np

    path = folder / name
    with reading(path):
        content = read(path, folder, ARRAYS)
        unpacking(content, ARRAYS).close()
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            found = {key: stored[key] for key in stored.files}
        further = {k: n for k, n in FURTHER.get(name, {}).items() if k in found}
        known = AXES.get(name, {}) | further
        for key, further_axes in known.items():
            if key not in found:
                raise ValueError(f"it has no {key}")
            one = found[key]
            if one.dtype.kind not in "iufc" or not 1 <= one.ndim <= 1 + further_axes:
                raise ValueError(f"{key} is an array of {one.dtype} of {one.ndim} axes")
        if len({len(found[key]) for key in known}) > 1:
            raise ValueError("its arrays differ in length")
        return found


def unpacking(archive: bytes, most: int) -> zipfile.ZipFile:
    """A zip archive that unpacks to no more than `most` bytes.

    Raises:
        ValueError, BadZipFile: it unpacks to more, or is none.
    """
    if archive.count(b"PK\1\2") > 10_000:
        raise ValueError("it has too many parts")
    opened = zipfile.ZipFile(io.BytesIO(archive))
    if sum(part.file_size for part in opened.infolist()) > most:
        raise ValueError(f"it unpacks to more than {most:,} bytes")
    return opened


def checkpoint(path: Path) -> bytes:
    """The bytes of a checkpoint; what makes something of any size out of few bytes is refused.

    Raises:
        FileNotFoundError, ValueError, BadZipFile: it is not there, or nothing that a run writes.
    """
    content = read(path, path.parents[1], PARAMETERS)
    with unpacking(content, 2 * len(content)) as opened:
        for name in opened.namelist():
            if name.endswith("data.pkl") and b"bytearray" in opened.read(name):
                raise ValueError("it holds more than tensors and plain values")
    return content


def weights(path: Path) -> Path:
    """The file of a model's parameters, once it is known to be a file."""
    return regular(path, path.parent, PARAMETERS)
