"""The code of docs/extending.md, carried out as it stands there in an empty home."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import matplotlib
import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
#: What the page's reader does in one shell, up to the server that does not end by itself.
COMMANDS, EXPLORE = next(text for language, text in BLOCKS if language == "bash").split(
    "python scripts/explore.py"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def shell(home: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a command of bash at the project's root, with the page's files in ~/lab."""
    for _, text in BLOCKS:
        if named := re.match(r"(?:# @package _global_\n)?# (\S+\.(py|yaml))\n", text):
            path = home / "lab" / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"HOME": str(home), "PATH": path}
    environment |= {"MPLCONFIGDIR": matplotlib.get_configdir()}  # its list of fonts takes seconds

    def start(command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-euc", command],
            cwd=ROOT,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    return start


@pytest.fixture(scope="module")
def trained(shell: Callable[..., subprocess.Popen[str]]) -> str:
    """What the commands printed: a run, a sweep as one program, its report."""
    with shell(COMMANDS) as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def test_runs_and_report(home: Path, trained: str) -> None:
    assert len([*home.glob("lab/outputs/*/*/result.json")]) == 1 + 4, trained
    assert [*home.glob("lab/outputs/trial/**/*.html")], trained


def test_runs_are_read_from_python(
    shell: Callable[..., subprocess.Popen[str]], trained: str
) -> None:
    reading = next(text for _, text in BLOCKS if text.startswith("from pathlib"))
    with shell(f"export PYTHONPATH=~/lab; python - <<'END'\n{reading}END\n") as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    assert output.count("Leaky(") == 3
    assert output.count("Memoryless(") == 2


@pytest.mark.slow
def test_explorer_shows_them(
    home: Path, shell: Callable[..., subprocess.Popen[str]], trained: str
) -> None:
    run = next(home.glob("lab/outputs/trial/*memoryless*"))
    values = {"task": "runs", "model": f"trial/{run.name}"}
    request = {"page": "models", "values": values, "seed": 1, "width": 600, "started": True}
    process = shell(
        f"export PYTHONPATH=~/lab; exec python scripts/explore.py --no-browser --port 0{EXPLORE}"
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.search(r"http://[\d.:]+", line)
        assert address, line + process.stdout.read()
        with urlopen(f"{address[0]}/update", json.dumps(request).encode(), timeout=60) as answer:
            messages = [json.loads(line) for line in answer]
        assert messages[-1]["kind"] == "done", messages[-1]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_claim_of_ones_own_is_composed(trained, shell):
    settings = "".join(line for line in COMMANDS.splitlines(True) if re.match("export|lab=", line))
    command = "python train.py $lab experiment=leaky_forgets dry_run=true"
    assert command.removesuffix(" dry_run=true") in PAGE
    with shell(settings + command) as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "16 jobs" in output
