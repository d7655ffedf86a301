"""The tables that benchmarks print and keep; what they measure is not run here."""

import json
from pathlib import Path

import pytest

from seq2seq.benchmark import boundary, models, plateau, sweep


def test_rows_of_sweeps_say_how_many_runs_were_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pace = {"basic": 10.0, "joblib": 5.0, "auto": 1.0}

    def trained(name, _, runs):
        return 3 + pace[name] * runs, 99.0, [pace[name] * run for run in range(runs)]

    monkeypatch.setattr(sweep, "trained", trained)
    monkeypatch.setattr(sweep, "operations", lambda case: 1e6)
    monkeypatch.setattr(sweep, "peak_rate", lambda: 1e11)
    path = tmp_path / "results" / "sweep.json"
    sweep.measure(["tcn 16"], [32], steps=100, most=4, json=path)
    kept = json.loads(path.read_text())
    assert {"date", "machine", "load", "packages"} <= kept["provenance"].keys()
    assert kept["peak_gflops"] == 100
    assert [row["trained"] for row in kept["rows"]] == [4, 4, 32]
    assert [row["seconds"] for row in kept["rows"]] == pytest.approx([323, 163, 35])
    assert kept["rows"][2]["ratio_to_basic"] == pytest.approx(323 / 35)
    assert "| tcn 16 | 32 | auto | 32 | 35.0 |" in capsys.readouterr().out


def test_a_further_run_takes_what_lies_between_the_ends_of_those_before() -> None:
    assert sweep.seconds_each([0, 3, 6, 9], 1) == 3
    assert sweep.seconds_each([0, 0.5, 6, 6.5], 2) == 3


def test_an_unknown_case_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(ValueError, match=r"cases must be one of tanh rnn 8, .*got cases='tanh'"):
        sweep.measure(["tcn 16", "tanh"])


def test_rows_of_the_detector_tell_false_alarms_and_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plateau, "GRID", [(0.0, 0.0, 10), (0.1, 2.5, 10)])
    monkeypatch.setattr(plateau, "LENGTHS", (100, 1000))
    plateau.measure(runs=30, json=tmp_path / "plateau_detector.json")
    kept = json.loads((tmp_path / "plateau_detector.json").read_text())
    clean, noisy = kept["rows"]
    assert clean["sharp_100"] == clean["slow_1000"] == clean["slow_spread_1000"] == 0
    assert noisy["false_1000"] == 0
    assert 0 < noisy["slow_spread_1000"] < 0.05
    assert noisy["sharp_delay_1000"] < 50


def test_rows_of_models_compare_with_the_gru_and_a_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(models, "LENGTHS", (4, 8, 16, 32))
    monkeypatch.setattr(models, "STEPS", (4, 8, 16))
    monkeypatch.setattr(models, "COMPARED", 16)
    monkeypatch.setattr(models, "LOOPED", 8)
    path = tmp_path / "models.json"
    models.measure(["hyena", "mingru"], seconds=0.0, json=path)
    rows = json.loads(path.read_text())["rows"]
    names = ["gru", "gru", "hyena", "hyena", "mingru", "mingru"]
    assert [row["model"] for row in rows] == names
    assert [row["pass"] for row in rows] == ["parallel", "step"] * 3
    for row in rows:
        own = next(gru for gru in rows if gru["pass"] == row["pass"])
        assert row["to_gru"] == pytest.approx(own["L=16"] / row["L=16"])
        assert (row["L=32"] is None) == (row["to_loop"] is None) == (row["pass"] == "step")
    assert "mingru             parallel" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"models must be one of .*, got models='grus'"):
        models.measure(["grus"])


def test_boundary_tells_the_share_of_a_grid_and_its_coverage(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(boundary, "TRUTHS", ((2.0, 0.0),))
    boundary.measure(runs=2, json=tmp_path / "boundary_sweeper.json")
    (row,) = json.loads((tmp_path / "boundary_sweeper.json").read_text())["rows"]
    assert 24 / 768 < row["median"] < 1 / 3
    assert row["low"] <= row["mean"] <= row["high"]
    assert 0.5 < row["coverage"] <= 1
    assert "of the grid's runs" in capsys.readouterr().out
