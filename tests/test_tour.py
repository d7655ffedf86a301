"""The notebook: stored without outputs, and running from top to bottom."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

PATH = Path(__file__).parents[1] / "notebooks" / "tour.ipynb"


@pytest.fixture
def tour():
    return nbformat.read(PATH, as_version=4)


def test_it_is_stored_without_outputs(tour):
    nbformat.validate(tour)
    for cell in tour.cells:
        assert not cell.metadata
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert set(tour.metadata) == {"kernelspec", "language_info"}


def test_it_calls_the_package_and_defines_nothing(tour):
    for cell in tour.cells:
        if cell.cell_type == "code":
            assert not any(word in cell.source for word in ("def ", "class ", "lambda"))


@pytest.mark.timeout(900)
def test_it_runs(tour, tmp_path):
    client = NotebookClient(tour, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
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
    assert len(list((tmp_path / "outputs" / "sweep").glob("*/result.json"))) == 15
