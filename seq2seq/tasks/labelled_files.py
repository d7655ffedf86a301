"""Files of sequences with a label each: NumPy archives, tables, and folders of IDX files."""

import gzip
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from seq2seq.errors import ConfigError

#: What IDX calls its types of numbers.
IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}

#: The names that MNIST gives its parts.
IDX_PARTS = {"train": "train", "test": "t10k"}

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def read(path: Path) -> list[Arrays]:
    """x, y and the lengths in a file; of a folder those to train and those to test with.

    Raises:
        ValueError: none can be read there.
    """
    kinds = {".npz": _npz, ".csv": _table, ".parquet": _table}
    try:
        if path.is_dir():
            return [_idx_pair(path, name) for name in IDX_PARTS.values()]
        if not path.is_file():
            raise OSError("there is none" if not path.exists() else "it is no regular file")
        if path.suffix not in kinds:
            raise OSError(f"its name ends in {path.suffix or 'no suffix'}")
        return [kinds[path.suffix](path)]
    except ConfigError:
        raise  # of what the file holds
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ValueError(
            f"path must be a .npz, .csv or .parquet file or a folder of IDX files, got path={path} "
            f"({reason}); set task.path"
        ) from None


def _npz(path: Path) -> Arrays:
    if not zipfile.is_zipfile(path):
        raise OSError("it is no archive as numpy.savez writes it")
    with np.load(path, allow_pickle=False) as stored:
        for name in ("x", "y"):
            if name not in stored:
                held = ", ".join(stored) or "nothing"
                raise ConfigError(f"{name} is not in {path}, which holds {held}; store it there")
        return (
            _array(stored, "x", path),
            _array(stored, "y", path),
            _array(stored, "length", path) if "length" in stored else None,
        )


def _array(stored: Mapping[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    try:
        return stored[name]
    except ValueError:  # numpy says how to unpickle them
        raise ConfigError(
            f"{name} must hold numbers, got Python objects in {path}; store it as an array of "
            "numbers, of sequences of one length"
        ) from None


def _table(path: Path) -> Arrays:
    import pandas as pd

    table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    if "y" not in table:
        held = ", ".join(map(str, table.columns[:8]))
        raise ConfigError(f"column y is not in {path}, whose first are {held}; add it")
    length = table.pop("length").to_numpy() if "length" in table else None
    y = table.pop("y").to_numpy()
    for name, column in table.items():
        if not pd.api.types.is_numeric_dtype(column):
            bad = pd.to_numeric(column, errors="coerce").isna() & column.notna()
            value = column[bad if bad.any() else column.notna()].iloc[0]
            raise ConfigError(
                f"column {name} must hold numbers, got {value!r} in {path}; correct or remove it"
            )
    return table.to_numpy(np.float32), y, length


def _idx_pair(folder: Path, part: str) -> Arrays:
    images = read_idx(_either(folder, f"{part}-images-idx3-ubyte"))
    labels = read_idx(_either(folder, f"{part}-labels-idx1-ubyte"))
    return images.reshape(len(images), -1).astype(np.float32) / 255, labels.astype(np.int64), None


def _either(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise OSError(f"{name} is not there")


def read_idx(path: Path) -> np.ndarray:
    """The array in an IDX file, as LeCun's page on MNIST describes it, perhaps compressed.

    Two zeros, a byte for the type, one for the number n of axes, n sizes of 4 bytes each, the
    numbers row by row; all with the highest byte first.

    Raises:
        ValueError: it is none.
    """
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise ValueError(f"{path.name} does not begin as an IDX file does")
    shape = np.frombuffer(content, ">u4", content[3], 4)
    numbers = np.frombuffer(content, IDX_TYPES[content[2]], offset=4 + 4 * content[3])
    if len(numbers) != math.prod(shape.tolist()):
        raise ValueError(f"{path.name} holds {len(numbers)} numbers, not {shape.tolist()}")
    return numbers.reshape(shape)
