"""The tour as it is stored: executed, with what a reader without a kernel can see of it."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from seq2seq import explorer
from seq2seq.explorer.page import answer
from seq2seq.files import write_atomically

#: Of the outputs that show a page of the explorer.
WIDGET = "application/vnd.jupyter.widget-view+json"

#: CSS pixels that the pages' figures are drawn for.
WIDTH = 760


def store(path: str | Path) -> None:
    """Execute the notebook in an empty folder, and write it with its outputs, free of paths."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    with TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=600, record_timing=False, resources=resources).execute()
    states = notebook.metadata.pop("widgets")["application/vnd.jupyter.widget-state+json"]["state"]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [kept for output in cell.outputs for kept in _kept(output, states)]
    notebook.metadata = {
        "kernelspec": notebook.metadata.kernelspec,
        "language_info": {"name": "python"},
        "sources": sources(notebook),
    }
    write_atomically(Path(path), (nbformat.writes(notebook) + "\n").encode())


def sources(notebook: Any) -> str:
    """A hash of the code that the outputs of a notebook came from."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\n\n".join(code).encode()).hexdigest()[:16]


def _kept(output: Any, states: Mapping[str, Any]) -> Iterator[Any]:
    """What is stored of an output: in place of a page what it shows, of a figure its lines."""
    from nbformat.v4 import new_output

    data = output.get("data", {})
    if WIDGET in data:
        for shown in _shown(states[data[WIDGET]["model_id"]]["state"]["page"]):
            yield new_output("display_data", shown)
        return
    if "image/svg+xml" in data:
        data["image/svg+xml"] = _brief(data["image/svg+xml"])
    yield output


def _brief(svg: str) -> str:
    """A picture without its date, to hundredths of a point, on one line."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return " ".join(re.sub(r"(?<=\d\.\d\d)\d+", "", svg).split())


def _shown(page: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The figures, or the text, of a page as its widget holds it."""
    from seq2seq.explorer.drawing import printed

    values = {control["name"]: control["value"] for control in page["controls"]}
    request = {"values": values, "seed": 1, "width": WIDTH, "started": True}
    text = ""
    for message in answer(explorer.build(page["name"]), request):
        if message["kind"] == "figure":
            about = message["description"]
            yield {"image/svg+xml": _brief(printed(message["svg"])), "text/plain": about}
        elif message["kind"] == "writing":
            text += message["text"]
    if text:
        yield {"text/plain": text}
