"""The pages in a notebook: the widget by itself, and in JupyterLab as a reader meets it."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from seq2seq import explorer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def widget(monkeypatch):
    """The page of the shift, and what it sends to the browser."""
    widget = explorer.show("shift", k=12)
    sent, ended = [], threading.Event()

    def send(content):
        sent.append(content)
        if content["message"] is None:
            ended.set()

    monkeypatch.setattr(widget, "send", send)
    return widget, sent, ended


def ask(widget, name, **values):
    request = {"values": values, "seed": 1, "width": 600, "started": True}
    widget._handle_custom_msg({"ask": name, "request": request}, [])


def test_it_starts_with_the_given_values(widget):
    values = {control["name"]: control["value"] for control in widget[0].page["controls"]}
    assert values["k"] == 12
    assert values["length"] == 64


def test_it_answers_what_it_is_asked(widget):
    widget, sent, ended = widget
    ask(widget, "one", k=3)
    assert ended.wait(60)
    assert {content["answer"] for content in sent} == {"one"}
    kinds = [content["message"] and content["message"]["kind"] for content in sent]
    assert kinds == ["controls", "figure", "done", None]
    assert "3 steps later" in sent[1]["message"]["description"]


def test_an_answer_that_is_no_longer_wanted_ends(widget, monkeypatch):
    widget, sent, _ = widget
    first = threading.Event()
    monkeypatch.setattr(widget, "send", lambda content: (sent.append(content), first.set()))
    stopped = threading.Event()

    def endless(values, seed, width):
        from seq2seq.explorer.page import Note

        try:
            while True:
                time.sleep(0.01)
                yield Note("n", "more")
        finally:
            stopped.set()

    monkeypatch.setattr(widget._page, "update", endless)
    ask(widget, "long")
    assert first.wait(20)
    widget._handle_custom_msg({"stop": "long"}, [])
    assert stopped.wait(20)


@pytest.mark.parametrize(
    ("arguments", "values", "message"),
    [
        (("shfit",), {}, "no page 'shfit'.*did you mean 'shift'"),
        (("shift",), {"lenght": 9}, "no control 'lenght'; did you mean 'length'"),
        (("shift",), {"k": "many"}, "Delay k must be a number"),
    ],
)
def test_what_there_is_not_is_refused(arguments, values, message):
    with pytest.raises(ValueError, match=message):
        explorer.show(*arguments, **values)


# ------------------------------------------------------------------------------ JupyterLab


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab on an empty folder, of loopback alone, without its news."""
    notebook = {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": None,
                "id": "page",
                "metadata": {},
                "outputs": [],
                "source": 'import seq2seq.explorer\nseq2seq.explorer.show("shift", k=12)',
            }
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    for name in ("notebooks", "config", "data", "runtime", "ipython"):
        (tmp_path / name).mkdir()
    (tmp_path / "notebooks/page.ipynb").write_text(json.dumps(notebook))
    settings = tmp_path / "settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(
        '{"fetchNews": "false", "checkForUpdates": false}'
    )
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", "--port=0", "--IdentityProvider.token="]
    command += [
        f"--ServerApp.root_dir={tmp_path / 'notebooks'}",
        "--LabApp.extension_manager=readonly",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        try:
            lines = iter(server.stderr.readline, "")
            found = (re.search(r"(http://127\S+?)/lab", line) for line in lines)
            address = next(filter(None, found), None)
            assert address, "JupyterLab did not start; pip install -e '.[notebook]'"
            threading.Thread(target=server.stderr.read, daemon=True).start()
            yield address[1]
        finally:
            server.terminate()


@pytest.mark.slow
def test_a_page_works_in_jupyterlab(browser, lab):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    errors, foreign = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda r: foreign.append(r.url) if "127.0.0.1" not in r.url else None)
    page.goto(f"{lab}/lab/tree/page.ipynb")
    # JupyterLab drops what it is asked while it connects to its kernel: ask until the cell runs
    cell = page.locator(".jp-CodeCell").first
    for _ in range(24):
        cell.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        page.wait_for_timeout(5_000)
        if re.search(r"\[[*\d]", cell.locator(".jp-InputArea-prompt").inner_text()):
            break
    figure = page.locator(".explorer [data-block=sequences]")
    figure.wait_for()
    assert "12 steps later" in figure.get_attribute("aria-label")
    before = figure.inner_html()
    page.get_by_role("slider", name="Delay k").fill("30")
    page.wait_for_selector('.explorer [aria-label*="30 steps later"]')
    assert figure.inner_html() != before
    again = figure.inner_html()
    page.get_by_role("button", name="New sample", exact=True).click()
    drawn = "document.querySelector('.explorer [data-block=sequences]').innerHTML"
    page.wait_for_function(f"again => {drawn} !== again", arg=again)
    context.close()
    assert not errors
    assert not foreign
