"""First seeds and their replication, each trained and stored where and when it was.

They are judged by themselves. So a result that is stored keeps the set that a sweep has no runs of,
and a replication needs only its own.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seq2seq.analysis.report.sweep import HELD_OUT

#: Lists of a stored result whose entries say of which set they are.
LISTS = ("sets", "rows", "laws", "phases")

#: What a stored result says of its making, and a set that is kept says of itself.
MADE = ("provenance", "runs")

Content = Mapping[str, Any]


def agreement(sets: Sequence[Content]) -> str:
    """Whether the replication comes to the verdicts of the first seeds; empty without one."""
    if len(sets) < 2 or not sets[0]["claims"]:
        return ""
    first, second = ([one["verdict"] for one in found["claims"]] for found in sets)
    title = sets[1]["title"]
    if first == second:
        return f"{title} agrees: {', '.join(second)}."
    told = [
        f"{again}, where the first seeds said {once}"
        for once, again in zip(first, second, strict=True)
        if once != again
    ]
    return f"{title} disagrees: {'; '.join(told)}."


def joined(
    new: Content, drawings: Mapping[str, str], file: Path
) -> tuple[dict[str, Any], dict[str, str]]:
    """A result and its drawings with the set that is stored and that it has no runs of.

    That set comes with the provenance that it was stored with. Seeds tell which of the two is the
    replication.

    Args:
        new: what is to be stored.
        drawings: SVG by name.
        file: where it is stored; what is there, with its drawings in a folder beside it, is
            looked at.

    Raises:
        ValueError: the file holds something else, or a set of another claim or of other settings.
    """
    old = _read(file) if file.is_file() else {}
    have = {_called(one) for one in new["sets"]}
    kept = [one for one in old.get("sets", []) if _called(one) not in have]
    if not kept:
        return dict(new), dict(drawings)
    _check(new, old, kept[0], file)
    own, name = new["sets"][0], _called(kept[0])
    result = dict(new)
    for key in LISTS:
        listed = _of(new, key, own) + _of(old, key, kept[0])
        if listed:
            result[key] = sorted(listed, key=lambda one: one["set"])  # `first` comes first
    made = {"stored": {key: old[key] for key in MADE}}
    result["sets"] = [made | one if one["set"] == name else one for one in result["sets"]]
    result["verdict"] = result["sets"][0]["verdict"]
    result["agreement"] = agreement(result["sets"])
    stored = {
        drawing: path.read_text(encoding="utf-8")
        for drawing in old.get("figures", ())
        if (path := file.with_suffix("") / f"{drawing}.svg").is_file()
    }
    shown = _drawn(drawings, own) | _drawn(stored, kept[0])
    result["figures"] = sorted(shown, key=lambda one: one.startswith("replication_"))
    return result, {drawing: shown[drawing] for drawing in result["figures"]}


def _read(file: Path) -> Content:
    """A stored result; one without sets, as of a benchmark, has nothing to keep."""
    try:
        return {"sets": []} | json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file} holds no result ({error}); remove it") from None


def _called(found: Content) -> str:
    """Which of the two a set is by its seeds; the only one of a result is called `first`."""
    return "replication" if min(found["seeds"]) >= HELD_OUT else "first"


def _of(content: Content, key: str, found: Content) -> list[dict[str, Any]]:
    """The entries of a list that are about a set, by the name that its seeds give it."""
    name = _called(found)
    entries = [one | {"set": name} for one in content.get(key, ()) if one["set"] == found["set"]]
    if key == "sets":
        _, seeds, told = found["title"].partition(" (seeds ")
        entries[0]["title"] = f"{name.capitalize()}{seeds}{told}"
    return entries


def _drawn(drawings: Mapping[str, str], found: Content) -> dict[str, str]:
    """The figures of a set: of a replication the first."""
    beside = "replication_"
    own = {
        name: drawing
        for name, drawing in drawings.items()
        if name.startswith(beside) == (found["set"] == "replication")
    }
    if _called(found) == found["set"]:
        return own
    return {f"{beside}{name}": drawing for name, drawing in [*own.items()][:1]}


def _check(new: Content, old: Content, kept: Content, file: Path) -> None:
    """Refuse a set that this one is no replication of."""
    told = f"{file} holds {kept['title'][0].lower()}{kept['title'][1:]} of"
    remedy = "store this one under another name, or remove the file"
    claims = [[one["claim"] for one in found["claims"]] for found in (new["sets"][0], kept)]
    if claims[0] != claims[1]:
        raise ValueError(f"{told} another claim; {remedy}")
    rows = _of(new, "rows", new["sets"][0]), _of(old, "rows", kept)
    ours, theirs = ({row["setting"] for row in one} for one in rows)
    if ours != theirs:
        other = min(ours ^ theirs)
        where = "only there" if other in theirs else "only here"
        raise ValueError(f"{told} other settings ({other or 'one alone'} is {where}); {remedy}")
