"""What a command says of the claims of its jobs, by which a report will judge them."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seq2seq.errors import nearest
from seq2seq.runs import choices, flatten, snake
from seq2seq.schema.catalogue import choices as known_choices
from seq2seq.schema.criteria import BEGINNINGS, QUANTITIES
from seq2seq.sweep.jobs import Job


def show_other_claims(jobs: Sequence[Job]) -> None:
    """Say how many jobs were complete before the command, under another claim than it states."""
    stated = [_stated_otherwise(job) for job in jobs]
    for key, what in (("refuted_if", "by other criteria"), ("claim", "with other words")):
        if number := stated.count(key):
            print(
                f"{number} of {len(jobs)} jobs were trained under a claim {what} ({key}), and a "
                "report judges them by that; force=true trains them again"
            )


def _stated_otherwise(job: Job) -> str | None:
    """`refuted_if` or `claim`, where a run complete before the command has another than it."""
    try:
        stated = job.run.plain_config if job.is_done and job.nodes.get("claim") else job.nodes
    except (OSError, ValueError):
        return None
    keys = (key for key in ("refuted_if", "claim") if stated.get(key) != job.nodes.get(key))
    return next(keys, None)


def show_unmatched(jobs: Sequence[Job]) -> None:
    """Say which runs a criterion is about that are none of the jobs.

    They may be in the folder already, or come with another command: that is not refused.
    """
    claims: dict[str, list[Mapping[str, Any]]] = {}
    for job in jobs:
        criteria = json.dumps(job.nodes.get("refuted_if") or [], default=str)
        claims.setdefault(criteria, []).append(job.nodes)
    for criteria, nodes in claims.items():
        if absent := [*_absent(json.loads(criteria), nodes)]:
            listed = ", ".join(dict.fromkeys(absent))
            print(
                f"refuted_if is about runs with {listed}, which no job has; without such runs a "
                "report comes to no verdict",
                file=sys.stderr,
            )


def _absent(
    criteria: Sequence[Mapping[str, Any]], jobs: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Each value in `where`, `over` and `less` that none of the jobs has, with the nearest."""
    told = [one for nodes in jobs for one in (_chosen(nodes), dict(flatten(nodes)))]
    for condition in criteria:
        for part in ("where", "over", "less"):
            for key, wanted in (condition.get(part) or {}).items():
                found = [one[key] for one in told if key in one]
                lacking = any(key not in dict(flatten(nodes)) for nodes in jobs)
                names = {_name(value) for value in [*found, *[None] * lacking]}
                of_results = key in QUANTITIES or key.partition("/")[0] in BEGINNINGS
                for value in wanted if isinstance(wanted, list) else [wanted]:
                    if not of_results and _name(value) not in names:
                        shown = "null" if value is None else value
                        yield f"{key}={shown}{_near(key, value, found)}"


def _near(key: str, value: Any, found: Sequence[Any]) -> str:
    """The name that was meant, in brackets, where `value` is none that exists."""
    known = known_choices().get(key.replace(".", "/"), [])
    if not isinstance(value, str) or value in known:
        return ""
    meant = nearest(value, [*found, *known], "").removeprefix("; ")
    return f" ({meant})" * bool(meant)


def _chosen(nodes: Mapping[str, Any]) -> dict[str, str]:
    return {group.replace("/", "."): name for group, name in choices(nodes).items()}


def _name(value: Any) -> str:
    """A value as the report compares it: of a class that of its file, of 16.0 that of 16."""
    whole = isinstance(value, bool) or (isinstance(value, float) and value.is_integer())
    return snake(str(int(value) if whole else value)).replace("_", "")
