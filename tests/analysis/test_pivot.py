"""Tables of run folders written by hand, with numbers computed by hand."""

import json
import math
import re
import shutil
import subprocess

import pytest
import shell
import yaml
from scipy.stats import binomtest, ttest_1samp
from test_report import ROOT, write_run

from seq2seq.analysis.intervals import average, median
from seq2seq.analysis.report.pivot import pivot
from seq2seq.analysis.report.tables import Table
from seq2seq.errors import ConfigError

SCRIPT = ROOT / "scripts" / "table.py"

#: Steps to success by model and delay, of four seeds; None where there was none.
STEPS = {
    ("RNN", 4): [100, 200, 300, 400],
    ("RNN", 8): [None, None, None, 700],
    ("TCN", 4): [50, 50, 50, 50],
}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    root = tmp_path_factory.mktemp("outputs") / "a_sweep"
    for (model, k), steps in STEPS.items():
        for seed, step in enumerate(steps):
            told = {
                "success": step is not None,
                "success/step": step,
                "val/accuracy": 0.4 + seed / 10,
            }
            write_run(root, k, seed, 20.0, steps=30, model=model, **told)
    return root


def table(*arguments, code=0):
    done = shell.run(SCRIPT, *arguments, cwd=ROOT)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def test_shares_have_the_intervals_of_scipy_and_missing_cells_are_empty(sweep):
    lines = table(sweep, "--rows", "model", "--columns", "task.k").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["model", "k = 4", "k = 8"]
    assert [row[0] for row in cells[2:]] == ["RNN", "TCN"]
    assert cells[3][2] == ""  # no TCN has k = 8
    for text, won in ((cells[2][1], 4), (cells[2][2], 1), (cells[3][1], 4)):
        share, low, high = map(float, re.findall(r"[\d.e-]+", text))
        ends = binomtest(won, 4).proportion_ci()
        assert (share, low, high) == pytest.approx((won / 4, ends.low, ends.high), rel=0.05)
    assert len({len(line) for line in lines}) == 1


def test_json_holds_the_numbers_in_full(sweep, tmp_path):
    told = json.loads(table(sweep, "rows=task.k", "columns=model", "metric=val/accuracy", "--json"))
    assert told["provenance"]["command"].startswith("python scripts/table.py")
    assert told["metric"] == "val/accuracy"
    cells = {(row["task.k"], row["model"]): row for row in told["rows"]}
    assert [*cells] == [(4, "RNN"), (4, "TCN"), (8, "RNN")]
    # 0.4, 0.5, 0.6, 0.7: mean 0.55, standard error √(0.05/3 / 4), t of 3 degrees 3.1824
    half = 3.182446 * math.sqrt(0.05 / 3 / 4)
    expected = {"value": 0.55, "low": 0.55 - half, "high": 0.55 + half}
    for row in cells.values():
        assert {key: row[key] for key in expected} == pytest.approx(expected, rel=1e-6)
        assert (row["n"], row["runs"], row["censored"]) == (4, 4, False)
    file = tmp_path / "table.json"
    assert table(sweep, "metric=val/accuracy", "--json", f"to={file}") == ""
    assert json.loads(file.read_text())["keys"] == {"rows": ["model"], "columns": []}


def test_a_median_is_bounded_by_the_steps_of_the_runs_where_most_failed(sweep):
    found = pivot([sweep], ["model"], ["task.k"], "success/step")
    values = {(side[0], top[0]): cell for (side, top), cell in found.cells.items()}
    assert values["RNN", 4].value == 250  # between 200 and 300
    told = values["RNN", 8].plain()
    assert (told["value"], told["censored"], told["high"]) == (30, True, None)  # each took 30
    assert not values["RNN", 4].plain()["censored"]
    assert "≥ 30 " in found.table.markdown
    assert r"$\geq$ 30" in found.table.latex
    assert "∞" not in found.table.markdown


def test_the_interval_of_a_median_is_open_above_where_its_end_failed(tmp_path):
    steps = [10, 12, 14, 16, 18, None, None]  # of seven, the interval is that of all
    for seed, step in enumerate(steps):
        told = {"success": step is not None, "success/step": step}
        write_run(tmp_path / "a", 4, seed, 20.0, steps=30, **told)
    (cell,) = pivot([tmp_path / "a"], ["model"], [], "success/step").cells.values()
    assert cell.text == "16 [10, ∞]"
    assert cell.plain()["high"] is None


def test_plateaus_that_runs_had_not_left_bound_the_mean_from_below(tmp_path):
    for seed, tau in enumerate((100.0, 400.0, 1e9)):
        write_run(tmp_path / "a", 4, seed, tau, steps=1000)
    (cell,) = pivot([tmp_path / "a"], ["model"], [], "plateau/length").cells.values()
    assert cell.censored
    assert cell.n == 3
    assert cell.text.startswith("≥ ")
    assert 100 < cell.value < 1000


def test_several_folders_and_keys_make_one_table(sweep, tmp_path):
    write_run(tmp_path / "other", 12, 0, 20.0, steps=30, success=True)
    write_run(tmp_path / "other", 12, 1, 20.0, status="killed")
    told = table(sweep, tmp_path / "other", "--rows", "task.k,model", "--metric", "test/nmse")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in told.splitlines()]
    assert [row[:2] for row in rows[2:]] == [
        ["4", "RNN"],
        ["4", "TCN"],
        ["8", "RNN"],
        ["12", "RNN"],
    ]
    assert [row[2][-3:] for row in rows[2:]] == ["(4)", "(4)", "(4)", "(1)"]  # runs that have it


def test_latex_is_escaped_and_has_the_rules_of_booktabs(sweep):
    told = table(sweep, "--columns", "model.hidden_size", "metric=val/accuracy", "--latex")
    assert re.findall(r"\\(\w+rule)", told) == ["toprule", "midrule", "bottomrule"]
    assert r"hidden\_size = 16" in told
    body = told.partition(r"\toprule")[2]
    assert not re.search(r"(?<!\\)[_%#]", body)
    assert {line.count("&") for line in body.splitlines() if "&" in line} == {1}
    assert told.count("{") == told.count("}")


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs LaTeX")
def test_latex_compiles(sweep, tmp_path):
    """Hostile names, and signs that are none of LaTeX's own, in a paper that has booktabs."""
    names = Table("a", "50% of a_b & {c} ≥ ∞ − 1", ("k_1", "#"), [("a\\b~^", "> 800 · 2 < 3")])
    table(sweep, "--rows", "model,task.k", "metric=success/step", "--latex", f"to={tmp_path}/b.tex")
    (tmp_path / "a.tex").write_text(names.latex)
    start, inside = r"\documentclass{article}\usepackage{booktabs}", r"\input{a}\input{b}"
    (tmp_path / "paper.tex").write_text(rf"{start}\begin{{document}}{inside}\end{{document}}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "paper.pdf").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rows=modl"], "no run has a key modl; did you mean 'model'?"),
        (["metric=val/acuracy"], "no run has a metric val/acuracy; did you mean 'val/accuracy'?"),
        (["metric=model"], "no run has a metric model"),
        (["columns=model"], "model stands twice in rows and columns; leave out one"),
        (["--latex", "--json"], "markdown, latex and json do not go together; give one"),
    ],
)
def test_what_cannot_be_tabulated_is_one_line(sweep, arguments, said):
    error = table(sweep, *arguments, code=2)
    assert error.startswith(f"table.py: {said}")
    assert error.count("\n") == 1


def test_no_folder_is_one_line(tmp_path):
    assert table(code=2) == "table.py: no folder of runs given; add outputs/<sweep>\n"
    assert "no folder" in table(tmp_path / "none", code=2)
    with pytest.raises(ConfigError, match="no run has a metric success"):
        pivot([write_run(tmp_path, 4, 0, 20.0, steps=30).parent], ["model"], [], "success")


def test_the_interval_of_a_median_covers_it_as_often_as_binomials_say():
    """P(x_(k) ≤ median ≤ x_(n+1−k)) = 1 − 2 P(Bin(n, ½) < k), and at least 0.95."""
    for n in range(1, 40):
        values = [float(i) for i in range(1, n + 1)]
        middle, low, high = median(values)
        assert middle == (n + 1) / 2
        k = int(low)
        if low == high:
            assert n < 6
            continue
        assert high == n + 1 - k
        below = [sum(math.comb(n, i) for i in range(j)) / 2**n for j in (k, k + 1)]
        assert below[0] <= 0.025 < below[1]
    assert median([3.0, math.inf, 1.0, math.inf, 2.0, math.inf]) == (math.inf, 1.0, math.inf)


def test_means_are_geometric_where_all_values_are_positive_and_none_is_a_share():
    assert average([1.0, 100.0], "test/nmse")[0] == pytest.approx(10)
    assert average([0.0, 100.0], "test/loss")[0] == 50
    assert average([4.0, 100.0], "success/step")[0] == pytest.approx(20)
    for metric in ("test/accuracy", "generalisation/accuracy/length_8", "val/exact", "test/scaled"):
        assert average([0.25, 1.0], metric)[0] == pytest.approx(0.625)


def test_means_of_accuracies_are_arithmetic_with_students_interval_and_said_to_be(tmp_path):
    values = [0.5, 0.6, 0.7]
    for seed, value in enumerate(values):
        told = {"test/accuracy": value, "test/loss": value}
        write_run(tmp_path / "a", 4, seed, 20.0, steps=30, **told)
    found = pivot([tmp_path / "a"], ["model"], [], "test/accuracy")
    (cell,) = found.cells.values()
    ends = ttest_1samp(values, 0).confidence_interval()
    assert (cell.value, cell.low, cell.high) == pytest.approx((0.6, ends.low, ends.high))
    assert "arithmetic means, with Student" in found.table.caption
    losses = pivot([tmp_path / "a"], ["model"], [], "test/loss")
    assert next(iter(losses.cells.values())).value == pytest.approx(0.21 ** (1 / 3))
    assert "geometric means" in losses.table.caption


def test_an_optimizer_has_one_name_whether_or_not_a_sweep_varies_it(tmp_path):
    """Where it varies it is called by what was chosen, elsewhere it was by its class."""
    for folder, names in (("both", ("adam", "sgd")), ("one", ("adam",))):
        for name in names:
            run = write_run(tmp_path / folder / name, 4, 0, 20.0, 30)
            config = yaml.safe_load((run / "config.yaml").read_text())
            target = {"adam": "torch.optim.Adam", "sgd": "torch.optim.SGD"}[name]
            config["optimizer"] = {"_target_": target}
            config["command"] = {"choices": {"task": "shift", "model": "rnn", "optimizer": name}}
            (run / "config.yaml").write_text(yaml.safe_dump(config))
    found = pivot([tmp_path / "both", tmp_path / "one"], ["optimizer"], [], "test/nmse")
    assert {side: cell.n for (side, _), cell in found.cells.items()} == {("adam",): 2, ("sgd",): 1}


def test_plateaus_of_runs_that_are_told_by_their_success_are_refused(tmp_path):
    folder = write_run(tmp_path, 4, 0, 20.0, 30, success=True, **{"success/step": 20})
    config = yaml.safe_load((folder / "config.yaml").read_text())
    stop = {"_target_": "seq2seq.callbacks.StopAtTarget", "target": 0.9}
    config["callbacks"] = {"stop_at_target": stop}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError, match="give success/step"):
        pivot([tmp_path], ["task.k"], [], "plateau/length")
    (cell,) = pivot([tmp_path], ["task.k"], [], "success/step").cells.values()
    assert cell.value == 20
