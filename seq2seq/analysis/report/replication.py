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

#: Numbers of a setting that are no matter of seeds.
ALIKE = ("parameters", "max_steps", "target")

#: What to do about a file that must stay as it is.
REMEDY = "store this one under another name, or remove the file"

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
        ValueError: the file holds something else, seeds or settings that these runs lack, or a set
            that is no replication: of another claim or criteria, other settings or budgets.
    """
    if not file.is_file():
        return dict(new), dict(drawings)
    old = _read(file)
    _check_place(new, old, file)
    have = {_called(one) for one in new["sets"]}
    kept = [one for one in old["sets"] if _called(one) not in have]
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
    """A stored result of a sweep."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        for one in found["sets"]:
            _called(one), one["set"], one["title"], one["claims"]
    except (ValueError, TypeError, LookupError) as error:
        reason = "it has none of the lists of one" if isinstance(error, LookupError) else error
        raise ValueError(f"{file} holds no result of a sweep ({reason}); {REMEDY}") from None
    return dict(found)


def _check_place(new: Content, old: Content, file: Path) -> None:
    """Refuse to take the place of something else, or of what this lacks."""
    if old.get("name") != new["name"]:
        raise ValueError(f"{file} holds the result of {old.get('name')}; {REMEDY}")
    sets = {_called(one): one for one in new["sets"]}
    for theirs in old["sets"]:
        ours = sets.get(_called(theirs))
        if ours is None:
            continue
        if not {*ours["seeds"]} >= {*theirs["seeds"]}:
            raise ValueError(
                f"{file} holds {_seeds(theirs)}, and these runs are of {_seeds(ours)}; {REMEDY}"
            )
        # With a further axis all settings have other labels, and there are no fewer of them.
        were, are = len(_settings(old, theirs)), len(_settings(new, ours))
        if are < were:
            raise ValueError(
                f"{file} holds {were} settings of {_seeds(theirs)}, and these runs are of {are}; "
                f"{REMEDY}"
            )


def _settings(content: Content, found: Content) -> dict[str, dict[str, Any]]:
    """The rows of a set by their settings."""
    return {row["setting"]: row for row in _of(content, "rows", found)}


def _is_adaptive(*every: Content) -> bool:
    """Whether sweeps looked for a boundary, so that each has settings of its own."""
    return all("phases" in content for content in every)


def _seeds(found: Content) -> str:
    """`seeds 0 to 7`."""
    return str(found["title"]).partition("(")[2].rstrip(")")


def _called(found: Content) -> str:
    """Which of the two a set is by its seeds; the only one of a result is called `first`."""
    return "replication" if min(found["seeds"]) >= HELD_OUT else "first"


def _of(content: Content, key: str, found: Content) -> list[dict[str, Any]]:
    """The entries of a list that are about a set, by the name that its seeds give it."""
    name = _called(found)
    entries = [one | {"set": name} for one in content.get(key, ()) if one["set"] == found["set"]]
    if key == "sets":
        _, bracket, seeds = found["title"].partition(" (")
        entries[0]["title"] = f"{name.capitalize()}{bracket}{seeds}"
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
    told, own = f"{file} holds {_seeds(kept)} of", new["sets"][0]
    criteria = new.get("refuted_if"), old.get("refuted_if")
    changed = None not in criteria and criteria[0] != criteria[1]
    if changed or _judged_by(new, own) != _judged_by(old, kept):
        raise ValueError(f"{told} another claim, or judged by other criteria; {REMEDY}")
    ours, theirs = _settings(new, own), _settings(old, kept)
    if ours.keys() != theirs.keys() and not _is_adaptive(new, old):
        other = min(ours.keys() ^ theirs.keys())
        where = "only there" if other in theirs else "only here"
        raise ValueError(f"{told} other settings ({other or 'one alone'} is {where}); {REMEDY}")
    alike = (*ALIKE, *["budget"] * (new["event"] == "success"))
    for setting in ours.keys() & theirs.keys():
        for key in alike:
            here, there = ours[setting].get(key), theirs[setting].get(key)
            if None not in (here, there) and here != there:  # known of runs that have ended
                at = f" of {setting}" * bool(setting)
                raise ValueError(
                    f"{told} runs{at} with {key}={there}, and these have {here}; {REMEDY}"
                )


def _judged_by(content: Content, found: Content) -> Any:
    """The claim, and the conditions of each claim without the numbers that were found.

    Results of earlier versions say no more of the criteria.
    """
    conditions = [
        {(one["condition"].partition(" (")[0]) for one in claim["conditions"]}
        for claim in found["claims"]
    ]
    return content["claim"], [claim["claim"] for claim in found["claims"]], conditions
