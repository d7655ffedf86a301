"""Reading texts, and fetching them from a server of our own."""

import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from seq2seq.tasks import corpora
from seq2seq.tasks.corpora import Published, Remote

CONTENT = "".join(f"line {i}\n" for i in range(30_000)).encode()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT under any path, in ranges; `most` bytes and then the connection ends."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.most: int | None = None
        self.ranges = True
        self.asked: list[str | None] = []

    def remote(self, sha256: str | None = None, size: int = len(CONTENT)) -> Remote:
        digest = sha256 or hashlib.sha256(CONTENT).hexdigest()
        return Remote(f"http://127.0.0.1:{self.server_port}/text.txt", size, digest)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        start = int(wanted[len("bytes=") : -1]) if wanted and self.server.ranges else 0
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.most])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    path = corpora.fetch(server.remote(), tmp_path)
    assert path.read_bytes() == CONTENT
    assert corpora.fetch(server.remote(), tmp_path) == path
    assert server.asked == [None]
    assert list(tmp_path.iterdir()) == [path]


def test_a_wrong_hash_is_refused_and_removed(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not the published file"):
        corpora.fetch(server.remote(sha256="0" * 64), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_longer_file_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not the published file"):
        corpora.fetch(server.remote(size=1000), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_is_continued(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.most, server.ranges = 100_000, ranges
    with pytest.raises(ValueError, match=f"broke after 100000 of {len(CONTENT)} bytes"):
        corpora.fetch(server.remote(), tmp_path)
    server.most = None
    assert corpora.fetch(server.remote(), tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_offline_is_one_clear_line(tmp_path: Path, server: Server) -> None:
    remote = server.remote()._replace(address="http://127.0.0.1:1/text.txt")
    with pytest.raises(ValueError, match=r"cannot fetch .*go online and try again") as caught:
        corpora.fetch(remote, tmp_path)
    assert "\n" not in str(caught.value)


def test_texts_inside_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = ("raw/a.train", "raw/a.valid", "raw/a.test")
    folder = tmp_path / "corpora" / "three"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "three.zip", "w") as archive:
        for member in members:
            archive.writestr(member, f"text of {member}")
    published = Published((Remote("http://unused/three.zip", 0, ""),), members)
    monkeypatch.setitem(corpora.PUBLISHED, "three", published)
    monkeypatch.setattr(corpora, "NAMES", (*corpora.NAMES, "three"))
    for _ in range(2):  # extracted, and then found
        parts = corpora.open_corpus("three", str(tmp_path))
        assert ["".join(corpora.blocks(part)) for part in parts] == [
            f"text of {member}" for member in members
        ]


def test_the_default_corpus_is_in_python() -> None:
    (part,) = corpora.open_corpus("pydoc", None)
    assert "assert" in "".join(corpora.blocks(part))


def test_published_corpora_are_well_formed() -> None:
    for published in corpora.PUBLISHED.values():
        assert len(published.members or published.files) in (1, 3)
        for remote in published.files:
            assert remote.address.startswith("http")
            assert remote.size > 0
            assert len(bytes.fromhex(remote.sha256)) == 32


def test_unknown_names_are_told_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'tinyshakespeare'"):
        corpora.check_name("tinyshakespere")


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.txt").write_text("two\n", encoding="utf-8")
    (tmp_path / "a.txt").write_text("\ufeffone", encoding="utf-8")
    (tmp_path / "c.txt").write_text("drei: ü", encoding="utf-8")
    (tmp_path / ".hidden").write_bytes(b"\xff")
    assert "".join(corpora.blocks(corpora.own_files(str(tmp_path)))) == "one\ntwo\ndrei: ü"


def test_characters_may_straddle_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora, "BLOCK", 3)
    path = tmp_path / "text"
    path.write_text("aé漢😀" * 5, encoding="utf-8")
    assert "".join(corpora.blocks([path])) == "aé漢😀" * 5
    path.write_bytes(b"abcd\xc3(")
    with pytest.raises(ValueError, match=r"must be UTF-8 text, got byte 0xc3 at position 4"):
        list(corpora.blocks([path]))


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no such file"):
        corpora.own_files(str(tmp_path / "missing"))
    with pytest.raises(ValueError, match=r"empty folder"):
        corpora.own_files(str(tmp_path))
