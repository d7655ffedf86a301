"""The server: whom it answers, what it sends, how it starts and stops."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import shell

from seq2seq.explorer import workers
from seq2seq.explorer.page import Figure, Page, Slider, Writing
from seq2seq.explorer.server import MOST, Server

SCRIPT = Path(__file__).parents[2] / "scripts" / "explore.py"


#: What JSON lets through and no control or seed can take; the last is only no seed.
NUMBERS = ["Infinity", "NaN", "1e999", "1" + "0" * 400, "-1"]


def request(page="shift", **values):
    return json.dumps({"page": page, "values": values, "seed": 1, "width": 600, "started": True})


class Letters(Page):
    """Writes letters until nobody listens."""

    name = "letters"
    title = "Letters"
    about = "Endless."

    @property
    def stopped(self):
        return self.outputs / "stopped"

    def controls(self):
        yield Slider("n", "Number", 1, 9, 3)

    def update(self, values, seed, width):
        if values["n"] == 9:
            raise RuntimeError("a defect")
        if values["n"] == 8:
            time.sleep(1000)
        if values["n"] == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        if values["n"] == 6:
            bytearray(workers.BYTES)
        try:
            while True:
                time.sleep(0.01)
                yield Writing("letters", "a" * 1000)
        finally:
            self.stopped.touch()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server()
    server.pages["letters"] = Letters(tmp_path_factory.mktemp("letters"))
    server.workers["letters"] = workers.Workers(server.pages["letters"])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    list(server.workers["shift"].answer(json.loads(request())))  # once torch is imported
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ask(server):
    """One request: (method, path, body, headers) -> (status, text)."""

    def ask(method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, names)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text

    return ask


def test_only_loopback_is_listened_to(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert urlsplit(server.url).hostname == "127.0.0.1"


def test_a_page_answers_line_by_line(ask):
    status, text = ask("POST", "/update", request(k=5))
    messages = [json.loads(line) for line in text.splitlines()]
    assert status == 200
    assert [message["kind"] for message in messages] == ["controls", "figure", "done"]
    assert "5 steps later" in messages[1]["description"]
    assert ask("POST", "/update", request(k=5)) == (status, text)  # the same seed, the same page


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "[::1]:{port}"]
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/shift"), ("POST", "/update")])
def test_a_foreign_name_for_this_machine_is_refused(ask, server, host, method, path):
    host = host.format(port=server.server_port)
    status, text = ask(method, path, request() if method == "POST" else None, Host=host)
    assert status == 403
    assert text.count("\n") == 1


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}"])
def test_another_site_is_refused(ask, server, origin):
    origin = origin.format(port=server.server_port)
    assert ask("POST", "/update", request(), Origin=origin)[0] == 403


@pytest.mark.parametrize("path", ["/shift", "/explorer.js"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_site_has_its_browser_ask_is_refused(ask, site, path):
    assert ask("GET", path, Sec_Fetch_Site=site)[0] == 403
    assert ask("GET", path, Sec_Fetch_Site="same-origin")[0] == 200


def test_its_own_pages_are_answered_under_both_names(ask, server):
    for name in ("127.0.0.1", "localhost"):
        host = f"{name}:{server.server_port}"
        assert ask("POST", "/update", request(), Host=host, Origin=f"http://{host}")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/..%2f..%2fpyproject.toml",
        "/explorer.js/../server.py",
        "/server.py",
        "/document.html.jinja",
        "//etc/passwd",
        "/shift/../../../../etc/passwd",
        "/nothing",
    ],
)
def test_no_path_leads_to_a_file(ask, path):
    status, text = ask("GET", path)
    assert status == 404
    assert len(text) < 100


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("not json", 400),
        ("[]", 400),
        ("{}", 400),
        (json.dumps({"page": "shift"}), 400),
        (json.dumps({"page": "../shift", "values": {}, "seed": 1, "width": 9, "started": 1}), 400),
        (json.dumps({"page": "shift", "values": 3, "seed": 1, "width": 9, "started": 1}), 400),
        (json.dumps({"page": "shift", "values": {}, "seed": "x", "width": 9, "started": 1}), 400),
        ("[" * 60_000, 400),
        *((request().replace('"seed": 1', f'"seed": {n}'), 400) for n in NUMBERS),
        *((request().replace('"width": 600', f'"width": {n}'), 400) for n in NUMBERS[:3]),
        (" " * (MOST + 1), 413),
    ],
)
def test_requests_that_make_no_sense_are_refused_in_one_line(ask, body, status):
    got, text = ask("POST", "/update", body)
    assert got == status
    assert text.count("\n") == 1
    assert "Traceback" not in text


def test_a_body_without_a_length_is_not_read(server):
    with socket.create_connection(("127.0.0.1", server.server_port), 30) as connection:
        host = f"Host: 127.0.0.1:{server.server_port}"
        connection.sendall(f"POST /update HTTP/1.1\r\n{host}\r\n\r\n".encode())
        assert b" 411 " in connection.recv(4096)


def test_values_beyond_their_range_are_pulled_into_it(ask):
    status, text = ask("POST", "/update", request(length=10**9, k=-5, input="no such input"))
    controls = {c["name"]: c["value"] for c in json.loads(text.splitlines()[0])["controls"]}
    assert status == 200
    assert controls["length"] == 256
    assert controls["k"] == 0
    assert controls["input"] == "gp"


def test_a_value_of_the_wrong_kind_is_refused_beside_its_control(ask):
    _, text = ask("POST", "/update", request(k="many"))
    assert json.loads(text) == {
        "kind": "refused",
        "name": "k",
        "message": "Delay k must be a number, got 'many'",
    }


@pytest.mark.parametrize("n", NUMBERS[:4])
def test_numbers_beyond_all_numbers_are_refused_beside_their_control(ask, n):
    status, text = ask("POST", "/update", request(k=0).replace('"k": 0', f'"k": {n}'))
    assert status == 200
    assert json.loads(text)["name"] == "k"
    assert json.loads(text)["message"].startswith("Delay k must be a number, got ")
    assert ask("GET", f"/shift?k={n}")[0] == 200


def test_a_reader_who_leaves_stops_the_work(server):
    page = server.pages["letters"]
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request("POST", "/update", request("letters"))
    response = connection.getresponse()
    assert json.loads(response.readline())["kind"] == "controls"
    assert json.loads(response.readline())["kind"] == "writing"
    response.close()
    connection.close()
    for _ in range(200):
        if page.stopped.exists():
            return
        time.sleep(0.1)
    raise AssertionError("it goes on")


@pytest.mark.parametrize(
    ("n", "reason"),
    [
        pytest.param(8, "it took more than 8", marks=pytest.mark.slow),
        (7, "the system ended"),
    ],
)
def test_a_request_that_hangs_or_dies_holds_up_no_other(ask, monkeypatch, n, reason):
    monkeypatch.setattr(workers, "SECONDS", 8.0)
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(ask("POST", "/update", request("letters", n=n)))
    )
    thread.start()
    assert "5 steps later" in ask("POST", "/update", request(k=5))[1]
    thread.join(60)
    ((status, text),) = answers
    assert status == 200
    assert f"This cannot be shown: {reason}" in text


def test_memory_is_bounded(ask):
    _, text = ask("POST", "/update", request("letters", n=6))
    assert "This page failed" in json.loads(text.splitlines()[-1])["message"]


def test_a_defect_is_told_and_the_server_goes_on(ask):
    _, text = ask("POST", "/update", request("letters", n=9))
    assert "This page failed" in json.loads(text.splitlines()[-1])["message"]
    assert ask("GET", "/shift")[0] == 200


def test_what_a_link_says_cannot_end_the_script_it_is_put_in(ask):
    _, text = ask("GET", "/convolution?filter=%3C/script%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert "alert(1)" in text
    assert "<script>alert" not in text
    assert "</script>" not in text[text.index("alert(1)") - 30 : text.index("alert(1)") + 30]


def test_figures_are_safe_to_put_in_a_document():
    from seq2seq.analysis import figures
    from seq2seq.explorer import drawing

    with figures.style():
        figure, (axes,) = drawing.panels(300, (100,))
        axes.set_title("<script>alert(1)</script>")
    assert "<script>" not in Figure("a", drawing.svg(figure), "").svg


# --------------------------------------------------------------------------- the command


@pytest.fixture
def start():
    """Starts the command as a shell would, Ctrl-C included."""

    def start(*arguments):
        program = programs.enter_context(shell.Program(SCRIPT, "--no-browser", *arguments))
        programs.callback(program.kill)  # else the end of a test that failed would wait for it
        return program

    with contextlib.ExitStack() as programs:
        yield start


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_ctrl_c_ends_it_cleanly(start, seconds):
    process = start("--port", "0")
    while not re.search(r"http://127\.0\.0\.1:\d+/", process.output()):
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(seconds)  # while the libraries are being imported, too
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert (out.count("\n"), err) == (1, "")


def test_a_port_in_use_gets_one_line_with_the_remedy(start, server):
    process = start("--port", str(server.server_port))
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert err.count("\n") == 1
    assert f"port {server.server_port}" in err
    assert "--port 0" in err


@pytest.mark.parametrize("port", ["70000", "-1", "http"])
def test_a_port_that_is_none_is_refused(start, port):
    process = start(f"--port={port}")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "port" in err
    assert "Traceback" not in err


def test_only_packages_may_be_allowed_beside_the_options(start):
    _, err = start("--port", "0", "alow=[mine]").communicate(timeout=30)
    assert err == "explore.py: unknown key alow; did you mean 'allow'?\n"
