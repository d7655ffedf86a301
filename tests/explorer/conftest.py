"""One server for all tests of the pages."""

import json
import re
import signal
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
import shell

SCRIPT = Path(__file__).parents[2] / "scripts" / "explore.py"

#: The texts of figures that reach over their edges.
CUT = """all => all.flatMap(svg => [...svg.querySelectorAll("text")].filter(text => {
    const [inner, outer] = [text, svg].map(element => element.getBoundingClientRect());
    return inner.left < outer.left - 1 || inner.right > outer.right + 1
        || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1;
}).map(text => text.textContent))"""


@pytest.fixture(scope="session")
def outputs(tmp_path_factory):
    """The folder whose runs the server may show."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="session")
def site(outputs):
    """The address of the explorer, started as a user starts it."""
    with shell.Program(SCRIPT, "--port", "0", "--no-browser", "--outputs", outputs) as server:
        try:
            while not (told := re.search(r"http://\S+/", server.output())):
                assert server.poll() is None, server.errors()
                time.sleep(0.02)
            first = {"page": "shift", "values": {}, "seed": 1, "width": 600, "started": True}
            # Its worker is ready once torch is imported, which a busy machine takes its time for.
            urlopen(f"{told[0]}update", json.dumps(first).encode(), timeout=280).read()
            yield told[0]
        finally:
            server.send_signal(signal.SIGTERM)


@pytest.fixture
def tab(browser):
    """Opens an address and waits until all pages in it stand.

    At the end of the test none may have printed to the console, failed, or asked another host for
    anything.
    """
    contexts, problems = [], []

    def tab(address, **settings):
        settings = {"viewport": {"width": 1280, "height": 800}} | settings
        own = re.match(r"\w+://[^/]*/", address)[0]
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda request: (
                problems.append(request.url) if not request.url.startswith((own, "data:")) else None
            ),
        )
        page.goto(address)
        page.wait_for_function(
            """() => { const roots = [...document.querySelectorAll("[data-explorer]")];
            return roots.every(root => root.dataset.state === "ready") }"""
        )
        return page

    yield tab
    for context in contexts:
        context.close()
    assert not problems


@pytest.fixture
def visit(tab, site):
    """Opens a page of the explorer as `tab` does."""
    return lambda name, **settings: tab(site + name, **settings)


@pytest.fixture
def settled():
    """Does what it is given on a page and waits for the next whole answer."""

    def settled(page, act):
        before = page.get_attribute("[data-explorer]", "data-answers")
        act()
        page.wait_for_function(
            """before => { const root = document.querySelector("[data-explorer]");
            return root.dataset.state === "ready" && root.dataset.answers !== before }""",
            arg=before,
        )

    return settled


@pytest.fixture
def cut():
    """The texts of a page's figures that reach over their edges."""
    return lambda page: page.locator("figure svg").evaluate_all(CUT)
