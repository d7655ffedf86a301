"""A run's row in TensorBoard's HParams: a file beside its events, from its config and result.

TensorBoard takes its columns from one run, so all runs of a folder state the same ones. It shows
the first five hyperparameters and the first five metrics, and hides the others: those that the runs
differ in come first.
"""

import functools
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from seq2seq.analysis import plateau
from seq2seq.runs import PLAN, Run, choices, flatten, read_plan, replacing, tells, varied

#: What is compared even where no run of a folder sets it.
USUAL = (
    *("task", "task.input", "task.k", "task.length", "task.batch_size"),
    *("model", "model.hidden_size", "model.num_layers"),
    *("optimizer", "optimizer.lr", "scheduler", "seed", "trainer.max_steps"),
)
#: What a run took, in a group of scalars behind all others.
WORK = "work"
#: The end of the file's name: it is read after the events of the same second.
SUFFIX = ".~hparams"


def tabulate(run: Run) -> None:
    """Write the row of a run that has ended, if it logs to TensorBoard."""
    try:
        nodes, result = run.plain_config, run.result
    except (FileNotFoundError, ValueError):  # it failed before it began
        return
    targets = [str(node["_target_"]) for node in (nodes.get("logger") or {}).values() if node]
    if not result or not any(target.endswith("TensorBoardLogger") for target in targets):
        return
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import (
        HParamsPluginData,
        SessionEndInfo,
        SessionStartInfo,
    )
    from tensorboard.summary.writer.record_writer import RecordWriter

    ended, columns = (run.folder / "result.json").stat().st_mtime, _columns(run, nodes)
    begun = ended - (result.get("seconds") or 0.0)
    values = {key: _shown(value) for key, value in settings(nodes).items() if key in columns}
    experiment = api_pb2.Experiment(
        hparam_infos=[_info(api_pb2, key, values.get(key), own) for key, own in columns.items()],
        metric_infos=[
            api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=name)
            for name, tag in metrics(nodes, result).items()
        ],
    )
    start = SessionStartInfo(start_time_secs=begun, group_name=run.name)
    for key, value in values.items():
        kind = "number_value" if isinstance(value, float) else "string_value"
        setattr(start.hparams[key], kind, value)
    good = result["status"] == "finished"
    status = api_pb2.STATUS_SUCCESS if good else api_pb2.STATUS_FAILURE
    row = {
        metadata.EXPERIMENT_TAG: HParamsPluginData(experiment=experiment),
        metadata.SESSION_START_INFO_TAG: HParamsPluginData(session_start_info=start),
        metadata.SESSION_END_INFO_TAG: HParamsPluginData(
            session_end_info=SessionEndInfo(end_time_secs=ended, status=status)
        ),
    }
    parts = [
        Summary.Value(
            tag=tag,
            metadata=metadata.create_summary_metadata(content),
            tensor=metadata.NULL_TENSOR,
        )
        for tag, content in row.items()
    ]
    parts += [
        Summary.Value(tag=f"{WORK}/{name}", simple_value=value)
        for name, value in worked(run, nodes, result).items()
    ]
    step = result.get("steps") or 0
    known = sorted(run.folder.glob(f"*{SUFFIX}"))
    path = known[-1] if known else run.folder / f"events.out.tfevents.{int(ended)}{SUFFIX}"
    with replacing(path) as temporary, temporary.open("wb") as stream:
        writer = RecordWriter(stream)
        for event in (
            Event(wall_time=begun, file_version="brain.Event:2"),
            *(Event(wall_time=ended, step=step, summary=Summary(value=[one])) for one in parts),
        ):
            writer.write(event.SerializeToString())


def tabulate_again(parent: Path) -> None:
    """Write the rows of all runs of a folder anew, as its columns have changed."""
    for file in parent.glob(f"*/*{SUFFIX}"):
        with suppress(Exception):  # of a damaged run
            tabulate(Run(file.parent))


def settings(nodes: Mapping[str, Any]) -> dict[str, Any]:
    """The config by dotted keys, config groups by the name of what was chosen of each."""
    known = {key: value for key, value in flatten(nodes) if not key.startswith("command.")}
    return known | {group.replace("/", "."): name for group, name in choices(nodes).items()}


def _shown(value: Any) -> str | float:
    """A value as TensorBoard shows it well: of a number it makes 64.000.

    Whole numbers are texts, padded so that they are sorted as numbers; the page leaves out blanks.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:>9}"
    return value if isinstance(value, float) else "null" if value is None else str(value)


def metrics(nodes: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, str]:
    """The tags of the metrics by their names: errors, the plateau where one is asked for, work."""
    tokens = any(key.startswith("reference") for key in result) and not any(
        key.startswith("reference_nmse") for key in result
    )
    errors = ("val/loss", "test/loss") if tokens else ("val/nmse", "test/nmse")
    asked = (nodes.get("callbacks") or {}).get("stop_after_escape")
    work = [*(["plateau"] if asked else []), "steps", "seconds", "parameters"]
    return {name: name for name in errors} | {name: f"{WORK}/{name}" for name in work}


def worked(run: Run, nodes: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, float]:
    """What a run took, and how long its plateau was, where `stop_after_escape` names one."""
    found = {name: result[name] for name in ("steps", "seconds", "parameters") if name in result}
    if (nodes.get("callbacks") or {}).get("stop_after_escape"):
        with suppress(ValueError):  # no history, as of a run that failed at once
            first = plateau.reading(run.history, nodes, result)[:1]
            found.update(("plateau", one.length) for one in first)
    return found


def _columns(run: Run, nodes: Mapping[str, Any]) -> dict[str, list[str]]:
    """The keys that are shown, and the values that runs of the folder are known to take."""
    typed = (nodes.get("command") or {}).get("overrides") or []
    taken = _planned(run.folder.parent) or varied([" ".join(typed)])
    told = {key: values for key, values in taken.items() if key in USUAL or tells(key, nodes)}
    return {key: told.get(key, []) for key in sorted({*USUAL, *told})}


def _planned(parent: Path) -> dict[str, list[str]]:
    """The keys that the wanted runs of a folder were told apart by, as its plan stands now."""
    try:
        stat = (parent / PLAN).stat()
    except OSError:
        return {}
    return _varied(parent, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=8)
def _varied(parent: Path, *state: int) -> dict[str, list[str]]:
    """Every run that ends asks: a plan of thousands is read once for each state of the file."""
    return varied(read_plan(parent).values())


def _info(api: Any, key: str, value: str | float | None, taken: list[str]) -> Any:
    """How a column is shown, and filtered by if values are known: `value` is that of this run."""
    values = [_shown(_parsed(text)) for text in taken]
    numbers = [one for one in (*values, value) if isinstance(one, float)]
    info = api.HParamInfo(name=key, type=api.DATA_TYPE_STRING, differs=bool(taken))
    if isinstance(value, float) or (value is None and values and values == numbers):
        info.type = api.DATA_TYPE_FLOAT64
        info.domain_interval.min_value, info.domain_interval.max_value = min(numbers), max(numbers)
    else:
        info.domain_discrete.extend(sorted(map(str, values)))
    return info


def _parsed(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:  # of a value that is more than a word
        return text
