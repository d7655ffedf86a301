"""How soon the explorer is there, and how fast its pages follow a slider."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from seq2seq import checks
from seq2seq.explorer import PAGES
from seq2seq.results import store

SCRIPT = Path(__file__).parents[2] / "scripts" / "explore.py"

#: The first slider of a page.
FIRST = ".slider input"

#: What a page must be asked for to have a slider.
QUERIES = {"convolution": "?family=gaussian"}

#: Moves the given slider of a page, or presses the button of a new sample where there is none, and
#: resolves to the milliseconds until the page has changed.
MOVE = """selector => new Promise(done => {
    const slider = document.querySelector(selector);
    const start = performance.now();
    new MutationObserver((_, observer) => {
        observer.disconnect();
        requestAnimationFrame(() => done(performance.now() - start));
    }).observe(document.querySelector(".blocks"), { childList: true, subtree: true });
    if (!slider) return document.querySelector(".refresh").click();
    const steps = (slider.max - slider.min) / slider.step;
    slider.value = Number(slider.min) + slider.step * Math.floor(Math.random() * steps);
    slider.dispatchEvent(new Event("input"));
})"""


def measure(moves: int = 15, json: Path | None = None) -> None:
    """Seconds from the command to its first page, ms from a slider's movement to the new figure.

    Args:
        moves: of a slider of each page
        json: write the rows to this file, too
    """
    checks.writable("json", json)
    rows, first = [], {}
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    command = [sys.executable, str(SCRIPT), "--port", "0", "--no-browser"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(120_000)
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            url = server.stdout.readline().split(" at ")[1].split()[0]
            page.goto(url + PAGES[0])
            for what, act in (
                ("controls", lambda: page.wait_for_selector(FIRST)),
                ("figure", lambda: None),
                ("movement answered", lambda: page.evaluate(MOVE, FIRST)),
            ):
                act()
                if what != "controls":
                    page.wait_for_selector("[data-state=ready]")
                first[what] = time.perf_counter() - start
                print(f"first {what} after {first[what]:.2f} s", flush=True)
            print("\npage             median     90%")
            for name in PAGES:
                page.goto(f"{url}{name}{QUERIES.get(name, '')}")
                page.wait_for_selector("[data-state=ready]")
                if page.locator(".start").count() or not page.locator(".slider, .refresh").count():
                    continue
                taken = []
                for _ in range(moves):
                    taken.append(page.evaluate(MOVE, FIRST))
                    page.wait_for_selector("[data-state=ready]")
                half, most = np.quantile(taken, [0.5, 0.9])
                print(f"{name:<16} {half:4.0f} ms {most:4.0f} ms", flush=True)
                rows.append({"page": name, "median": half, "90%": most})
            server.terminate()
        browser.close()
    store(json, rows, first=[first])
