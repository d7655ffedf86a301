"""The recorded first page: what the page itself answers, shown before anything is imported."""

import json
import re
import subprocess
import sys
import threading
from itertools import islice

import numpy as np
import pytest

from seq2seq import explorer
from seq2seq.explorer import recording
from seq2seq.explorer.page import answer
from seq2seq.explorer.server import Server

NUMBER = re.compile(r"-?\d+\.\d+")


@pytest.fixture
def gate():
    return threading.Event()


@pytest.fixture
def stalled(monkeypatch, gate):
    """A server that imports and draws nothing before the gate is opened."""
    warm_up = Server._warm_up
    monkeypatch.setattr(Server, "_warm_up", lambda self: gate.wait() and warm_up(self))
    server = Server()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    gate.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_first_page_is_recorded_at_every_place_of_the_slider():
    asked = list(recording.requests())
    assert {one["page"] for one in asked} == {next(iter(explorer.PAGES))}
    assert sorted(one["values"]["k"] for one in asked) == list(range(64))
    assert asked[0]["values"] == {"length": 64, "k": 8, "t": 40, "input": "gp"}
    assert all(recording.find(one) for one in asked)
    assert recording.FILE.stat().st_size < 100_000


def test_what_is_recorded_is_what_the_page_answers():
    """To the last letter, but for the last digit of numbers, which another machine may round."""
    page = explorer.build(recording.PAGE)
    for request in recording.requests():
        live, recorded = (
            json.dumps(messages)
            for messages in (list(answer(page, request)), recording.find(request))
        )
        assert NUMBER.sub("", live) == NUMBER.sub("", recorded)
        numbers = (np.array(NUMBER.findall(text), float) for text in (live, recorded))
        np.testing.assert_allclose(*numbers, atol=0.015)


@pytest.mark.parametrize(
    "change", [{"seed": 2}, {"width": 600}, {"page": "lorenz96"}, {"values": {"k": 8}}]
)
def test_nothing_else_is_recorded(change):
    assert recording.find(next(recording.requests()) | change) == []


def test_the_recording_needs_nothing_heavy():
    code = (
        "import sys; from seq2seq.explorer.recording import find, requests;"
        "assert all(map(find, requests())); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "lightning", "matplotlib", "numpy"} & set(done.stdout.split())


def test_answers_are_live_as_soon_as_they_can_be(stalled, gate):
    request = next(recording.requests())
    assert list(stalled.answer(request)) == recording.find(request)
    gate.set()
    assert stalled.ready.wait(60)
    stalled.pages["shift"].update = lambda *_: iter(())
    assert [message["kind"] for message in stalled.answer(request)] == ["controls", "done"]


def test_in_a_narrower_window_the_recorded_answer_is_followed_by_the_live_one(stalled, gate):
    request = next(recording.requests()) | {"width": 600}
    messages = stalled.answer(request)
    assert list(islice(messages, 2)) == recording.find(request | {"width": recording.WIDTH})[:2]
    assert next(messages)["kind"] == "status"
    gate.set()
    live = [message for message in messages if message["kind"] != "status"]
    assert live == list(answer(explorer.build("shift"), request))


def test_the_page_follows_its_slider_before_the_program_stands(tab, settled, stalled, gate):
    page = tab(stalled.url)
    figure, status = page.get_by_role("img"), page.locator(".status")
    assert "repeats the input 8 steps later" in figure.get_attribute("aria-label")
    before = figure.inner_html()
    settled(page, lambda: page.get_by_label("Delay k").fill("20"))
    assert "repeats the input 20 steps later" in figure.get_attribute("aria-label")
    assert figure.inner_html() != before
    page.get_by_role("button", name="Refresh").click()
    status.get_by_text("Starting").wait_for()
    assert not stalled.ready.is_set()  # all of this was the recording
    gate.set()
    page.wait_for_selector("[data-state=ready]")
    assert status.inner_text() == ""
    assert "seed=2" in page.url
    settled(page, lambda: page.get_by_label("Delay k").fill("30"))
    assert "repeats the input 30 steps later" in figure.get_attribute("aria-label")
