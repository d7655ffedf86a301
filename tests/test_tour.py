"""The notebook: stored with what it shows, and running from top to bottom."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from seq2seq.explorer.tour import sources

PATH = Path(__file__).parents[1] / "notebooks" / "tour.ipynb"


@pytest.fixture
def tour():
    return nbformat.read(PATH, as_version=4)


def test_it_is_stored_with_what_its_code_shows(tour):
    """After changes of the code: python scripts/tour.py."""
    nbformat.validate(tour)
    assert tour.metadata.sources == sources(tour)
    code = [cell for cell in tour.cells if cell.cell_type == "code"]
    assert [len(cell.outputs) > 0 for cell in code[1:]] == [True] * len(code[1:])
    assert not any(cell.metadata for cell in tour.cells)
    pictures = [o for cell in code for o in cell.outputs if "image/svg+xml" in o.get("data", {})]
    assert len(pictures) >= 14
    stored = PATH.read_text("utf-8")
    assert len(stored) < 1e6
    assert not re.search(r'"(error|stderr)"|/tmp/|/home/|/root/|dc:date|widget-view', stored)


def test_it_calls_the_package_and_defines_nothing(tour):
    for cell in tour.cells:
        if cell.cell_type == "code":
            assert not any(word in cell.source for word in ("def ", "class ", "lambda"))


def kinds(tour):
    """What each cell shows, but those with a page of the explorer."""
    return {
        cell.id: [sorted(output.get("data", [output.output_type])) for output in cell.outputs]
        for cell in tour.cells
        if cell.cell_type == "code" and "explorer.show(" not in cell.source
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_runs(tour, tmp_path):
    for cell in tour.cells:  # what its kinds of figures need, and a law
        cell.source = cell.source.replace("task.k=4,6,8,10,12", "task.k=4,6,8")
        cell.source = cell.source.replace("seed=0,1,2", "seed=0,1")
    client = NotebookClient(tour, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    stored = kinds(tour)
    client.execute()
    assert kinds(tour) == stored
    shown = [
        kind
        for cell in tour.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        for kind in output.get("data", {})
    ]
    assert not [o for c in tour.cells for o in c.get("outputs", ()) if o.get("name") == "stderr"]
    assert shown.count("image/svg+xml") >= 7
    pages = [cell for cell in tour.cells if "explorer.show(" in cell.source]
    assert shown.count("application/vnd.jupyter.widget-view+json") == len(pages)
    law = "".join(output.get("text", "") for output in tour.cells[-2].outputs)
    assert "log τ grows by" in law
    assert len(list((tmp_path / "outputs" / "sweep").glob("*/result.json"))) == 6
