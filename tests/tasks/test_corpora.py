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
    """Serves CONTENT under any path; `most` bytes and then the connection ends."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.most: int | None = None
        self.asked: list[str] = []

    def remote(self, content: bytes = CONTENT) -> Remote:
        digest = hashlib.sha256(content).hexdigest()
        return Remote(f"http://127.0.0.1:{self.server_port}/text.txt", digest)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: self.server.most])

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
    assert server.asked == ["/text.txt"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_wrong_hash_is_refused_and_removed(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not the published file"):
        corpora.fetch(server.remote(b"other"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_longer_file_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not the published file"):
        corpora.fetch(server.remote(CONTENT[:1000]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_download_leaves_nothing_and_can_be_repeated(
    server: Server, tmp_path: Path
) -> None:
    server.most = 100_000
    with pytest.raises(ValueError, match=r"cannot fetch .*go online and try again") as caught:
        corpora.fetch(server.remote(), tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    server.most = None
    assert corpora.fetch(server.remote(), tmp_path).read_bytes() == CONTENT


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
    published = Published((Remote("http://unused/three.zip", ""),), members)
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
