"""Sweeps over all choices of a group."""

import sys
from types import SimpleNamespace

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from hydra_plugins.seq2seq_sweeper import RunSweeper
from seq2seq import schema
from seq2seq.sweep.sweeper import expand


@pytest.mark.parametrize(
    ("group", "pattern"), [("model", "*"), ("model", "[l*,*_schema]"), ("task/filter", "*")]
)
def test_globs_pick_choices_and_no_schemas(group, pattern, monkeypatch):
    schema.register()
    monkeypatch.setattr(sys, "argv", ["train.py", "-m"])
    sweeper, override = RunSweeper({group: f"glob({pattern})"}), f"{group}=glob({pattern})"
    with initialize_config_dir(str(schema.CONFIGS), version_base="1.3"):
        sweeper.hydra_context = SimpleNamespace(
            config_loader=GlobalHydra.instance().config_loader()
        )
        for arguments in ([], [override]):
            picked = [one.partition("=")[2] for (one,) in expand(sweeper._parse(arguments, True))]
            known = schema.choices()[group]
            assert picked == [name for name in known if "l*" not in pattern or name[0] == "l"]
