"""Who may import whom, and how little importing the package costs."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "seq2seq"

#: Rooms that each room may import, lazy imports included; what lies on the `GROUND` may be by all.
GROUND = {"checks", "errors", "files", "memory", "processes", "seeds", "times"}
ALLOWED = {
    **{part: set() for part in GROUND},
    "theory": set(),
    "tasks": {"theory"},
    "models": {"theory"},
    "history": set(),
    "module": {"history"},
    "objective": {"theory", "models"},
    "schema": set(),
    "runs": {"schema"},
    "command": {"schema"},
    "compose": {"schema", "runs"},
    "results": {"runs"},
    "build": {"schema", "runs", "models", "module"},
    "footprint": {"schema", "build"},
    "evaluate": {"schema", "runs", "build", "module"},
    "generate": {"runs", "build", "models", "tasks"},
    "analysis": {"schema", "runs", "build", "theory", "models", "results"},
    "pretrained": {"schema", "runs", "build", "tasks", "models"},
    "callbacks": {"runs", "history", "analysis", "models", "evaluate"},
    "training": {
        "schema",
        "runs",
        "compose",
        "footprint",
        "build",
        "module",
        "callbacks",
        "analysis",
    },
    "publish": {
        "schema",
        "runs",
        "tasks",
        "build",
        "evaluate",
        "generate",
        "pretrained",
        "training",
    },
    "sweep": {"schema", "runs", "footprint", "build", "analysis", "training"},
    "batched": {
        "footprint",
        "runs",
        "schema",
        "build",
        "history",
        "module",
        "objective",
        "training",
        "callbacks",
        "tasks",
        "models",
    },
    "explorer": {
        "analysis",
        "runs",
        "build",
        "pretrained",
        "generate",
        "tasks",
        "models",
        "theory",
        "schema",
    },
    "benchmark": {
        "analysis",
        "results",
        "schema",
        "runs",
        "build",
        "training",
        "batched",
        "sweep",
        "models",
        "generate",
        "explorer",
    },
    "programs": {
        "schema",
        "runs",
        "command",
        "build",
        "evaluate",
        "generate",
        "analysis",
        "theory",
        "models",
        "pretrained",
        "publish",
        "results",
        "sweep",
        "explorer",
        "benchmark",
    },
    "__main__": {"programs"},
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("seq2seq.")}
    return found


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_parts_import_only_what_they_may(part):
    path = PACKAGE / part
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    assert files
    for file in files:
        foreign = imports(file) - {part, "Run"} - GROUND
        assert foreign <= ALLOWED[part], f"{file.name} imports {foreign - ALLOWED[part]}"


def test_every_part_has_its_rule():
    parts = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert parts - {"__init__"} == set(ALLOWED)


def test_nothing_in_the_package_imports_the_programs():
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in (
                    "train",
                    "scripts",
                    "hydra_plugins",
                )


def test_importing_the_package_loads_nothing_heavy():
    modules = (
        "seq2seq, seq2seq.schema, seq2seq.runs, seq2seq.sweep.sweeper, seq2seq.explorer.server"
    )
    code = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "lightning", "matplotlib", "pandas", "scipy", "tensorboard", "rich"}
    assert not heavy & set(done.stdout.split())


def test_rooms_form_no_circle():
    rooms = graphlib.TopologicalSorter(
        {room: ALLOWED[room] | (set() if room in GROUND else GROUND) for room in ALLOWED}
    )
    assert len([*rooms.static_order()]) == len(ALLOWED)  # raises CycleError at a circle
