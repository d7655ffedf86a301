"""What a command says of the claims of its jobs, by which a report will judge them."""

import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from seq2seq.errors import nearest
from seq2seq.runs import comparable, comparable_values
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
        if criteria := job.nodes.get("refuted_if"):
            claims.setdefault(json.dumps(criteria, default=str), []).append(job.nodes)
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
    known: dict[str, set[str]] = {}
    every = [comparable_values(nodes) for nodes in jobs]
    for key, names in itertools.chain(*(one.items() for one in every)):
        known.setdefault(key, set()).update(names)
    for condition in criteria:
        for part in ("where", "over", "less"):
            for key, wanted in (condition.get(part) or {}).items():
                if key in QUANTITIES or key.partition("/")[0] in BEGINNINGS:
                    continue  # of results
                names = known.get(key, set())
                if any(key not in one for one in every):
                    names = names | {comparable(None)}
                for value in wanted if isinstance(wanted, list) else [wanted]:
                    if comparable(value) not in names:
                        shown = "null" if value is None else value
                        yield f"{key}={shown}{_near(key, value, names)}"


def _near(key: str, value: Any, found: Iterable[str]) -> str:
    """The name that was meant, in brackets, where `value` is none that exists."""
    known = known_choices().get(key.replace(".", "/"), [])
    if not isinstance(value, str) or value in known:
        return ""
    meant = nearest(value, [*found, *known], "").removeprefix("; ")
    return f" ({meant})" * bool(meant)
