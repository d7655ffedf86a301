"""README and docs: numbers as stored, links that lead somewhere, commands that work."""

import json
import re
import runpy
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import shell
import yaml

from seq2seq import results
from seq2seq.benchmark import sizes
from seq2seq.runs import find

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
HOWTO = (ROOT / "docs" / "howto.md").read_text(encoding="utf-8")
CLAIMS = ROOT / "configs" / "experiment"
EXPERIMENTS = sorted(path for path in CLAIMS.rglob("*.yaml") if path.stem[0] != "_")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_numbers_are_those_of_their_files(page):
    text = page.read_text(encoding="utf-8")
    assert results.render(text) == text, "run scripts/render.py"
    assert (
        text.count("<!-- rows ") == text.count("<!-- /rows -->") == len(results.ROWS.findall(text))
    )


def test_what_stands_between_marks_is_filled(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "ROOT", tmp_path)
    (tmp_path / "results").mkdir()
    rows = [{"a": 7e-5, "b": 1234, "d": {"e": 2}}, {"a": None, "b": 0.5}]
    results.store(tmp_path / "results" / "x.json", rows, more=[{"c": {"d": 3}}])
    stored = json.loads((tmp_path / "results" / "x.json").read_text())
    assert stored["rows"] == rows
    assert {"command", "version", "date", "packages"} <= set(stored["provenance"])
    row = "| {a:.0e} | {b:,} | {d[e]} |"
    table = f"<!-- rows results/x.json: {row} -->\n\n| a | b | d |\n|---|---|---|\n"
    text = (
        f"{table}| old | 1 |\n\n<!-- /rows -->\n<!-- = {{x[more][0][c][d]:.1f}} -->2<!-- /= -->\n"
    )
    filled = results.render(text)
    assert filled.splitlines()[4:6] == ["| 7e-5 | 1,234 | 2 |", "|  | 0.5 |  |"]
    assert "-->3.0<!-- /= -->" in filled
    assert results.render(filled) == filled


def test_render_tells_a_page_that_differs(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- = {sizes[rows][1][layers]} -->many<!-- /= -->\n")
    script = ROOT / "scripts" / "render.py"
    done = shell.run(script, page, "--check")
    assert (done.returncode, done.stdout) == (1, f"{page} differs from its results\n")
    assert shell.run(script, page).returncode == 0
    assert "-->2<!--" in page.read_text()
    assert shell.run(script, page, "--check").returncode == 0


@pytest.mark.slow
def test_models_are_as_large_as_stored(tmp_path, capsys):
    sizes.measure(tmp_path / "sizes.json")
    new, stored = (
        json.loads(path.read_text())["rows"]
        for path in (tmp_path / "sizes.json", ROOT / "results" / "sizes.json")
    )
    assert new == stored


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^##+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"<!-- .*? -->", "", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_readme_is_short_and_answers_within_two_clicks():
    text = PAGES[0].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    asked = set(re.findall(r"docs/howto\.md#([\w-]+)", text))
    assert asked == anchors(ROOT / "docs" / "howto.md")


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_claim_has_a_page(path):
    hooks = runpy.run_path(str(ROOT / "docs" / "hooks.py"))
    page = hooks["claim_page"](path.relative_to(CLAIMS).with_suffix("").as_posix())
    claim = " ".join(yaml.safe_load(path.read_text(encoding="utf-8"))["claim"].split())
    assert claim.partition("Refuted")[0].strip() in page
    assert "Stored on" in page or "not yet stored" in page
    for row in re.findall(r"^\|.*\|$", page, re.MULTILINE):
        assert row.count("|") == len(row.split("|")) - 1


# ------------------------------------------------------------------- What docs/howto.md tells to do


def commands(title: str) -> Iterator[list[str]]:
    """The arguments of Python in one of its sections: few steps and seeds, no pictures."""
    section = HOWTO.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    assert section
    for block in re.findall(r"^```bash\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            python, program, *arguments = shlex.split(re.sub(r"range\(\d+\)", "range(2)", line))
            assert python == "python"
            if program == "train.py":
                steps = [a for a in arguments if a.startswith("trainer.max_steps=")] or ["=200"]
                arguments = [a for a in arguments if a not in steps]
                arguments += [f"trainer.max_steps={int(steps[0].partition('=')[2]) // 40}"]
                arguments += ["callbacks.figures=null", "logger=none"]
            if "hydra/launcher=submitit_vmap" in arguments:
                arguments += ["hydra.launcher.cluster=local"]
            yield [str(ROOT / program) if (ROOT / program).exists() else program, *arguments]


def follow(title: str, folder: Path) -> list[str]:
    """Do what a section tells; what each of its commands has printed."""
    for text in re.findall(r"^```python\n(.*?)^```$", HOWTO, re.MULTILINE | re.DOTALL):
        (folder / text.partition("\n")[0].removeprefix("# ")).write_text(text, encoding="utf-8")
    printed = []
    for arguments in commands(title):
        done = shell.run(*arguments, cwd=folder)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        printed.append(done.stdout)
    return printed


def test_add_my_own_data(tmp_path):
    follow("Add my own data", tmp_path)
    (run,) = find(tmp_path / "outputs")
    assert run.status == "finished"
    assert run.result["test/nmse"] > 0
    shutil.copy(tmp_path / "pairs.npz", tmp_path / "other.npz")
    (told,) = re.findall(r"`python (scripts/evaluate\.py [^`]*)`", HOWTO)
    program, *arguments = shlex.split(told.replace("<run>", run.name))
    done = shell.run(ROOT / program, *arguments, cwd=tmp_path)
    assert "test/nmse" in done.stdout, done.stderr


def test_compare_three_models_and_take_the_figure(tmp_path):
    follow("Compare three models fairly", tmp_path)
    assert len([*find(tmp_path / "outputs" / "fair")]) == 3 * 2
    follow("Get the figure into my paper", tmp_path)
    assert [*(tmp_path / "outputs" / "fair" / "figures").glob("*.svg")]
    numbers = json.loads((tmp_path / "outputs" / "fair" / "numbers.json").read_text())
    assert [row["runs"] for row in numbers["rows"]] == [2, 2, 2]
    assert (tmp_path / "fair.pdf").read_bytes().startswith(b"%PDF")


def test_resume_what_was_interrupted(tmp_path):
    told = follow("Resume what was interrupted", tmp_path)
    assert "finished" in told[1]
    runs = [*find(tmp_path / "outputs" / "resumed")]
    assert sorted(run.result["steps"] for run in runs) == [10] * 2 + [20] * 2


@pytest.mark.slow
def test_run_on_slurm(tmp_path):
    pytest.importorskip("submitit")
    follow("Run on Slurm", tmp_path)
    runs = [*find(tmp_path / "outputs" / "cluster")]
    assert [run.status for run in runs] == ["finished"] * 4


def test_no_verdict_rests_on_fewer_than_eight_seeds():
    """But of searches, texts and published models, whose budgets are given."""
    for path in EXPERIMENTS:
        text = path.read_text(encoding="utf-8")
        if path.stem.startswith(("published", "text", "hparams")):
            continue
        while "seed: range" not in text:  # it is in the file that this one builds on
            built_on = yaml.safe_load(text)["defaults"][0]
            text = (CLAIMS / f"{built_on}.yaml").read_text(encoding="utf-8")
        seeds = re.search(r"seed: range\((\d+)\)", text)
        assert seeds is not None, path.stem
        assert int(seeds[1]) >= 8, path.stem
