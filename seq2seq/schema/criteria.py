"""What would refute a claim, as data: `refuted_if` of an experiment, which the report evaluates.

    claim: The time to leave the plateau grows exponentially with the memory. Refuted if …
    refuted_if:
      - {quantity: growth, contains: 0}
      - {quantity: growth, law: power}

It lists conditions. A claim is **refuted** if one of them holds, **supported** if all fail, and
**undecided** if one can neither be said to hold nor to fail.

A condition is about a `quantity`:

- a number of every run, such as `test/nmse`, `steps` or `plateau/length`; `resting` is the share of
  the steps that it spent on plateaus, `tolerated_noise` the relative noise in the parameters that
  leaves the NMSE below 0.1;
- `success`, the share of runs that reached the target of `callbacks.stop_at_target`, with Clopper
  and Pearson's interval;
- `approximation`, the NMSE of the best sum found of as many real exponentials as a run has states,
  under white input, and `gap`, the factor by which the test NMSE lies above it;
- `growth`, the rate at which log τ grows with the memory of the task, τ being the plateau's length,
  or the steps to success of runs that have a target and no `callbacks.stop_after_escape`.
  It is judged for a range of falls of the loss that may count as the escape, from 0.4 to at most 2
  times the rule's `drop`: where the answers differ, the condition can neither be said to hold nor
  to fail;
- `contour`, the memory that half of the runs learn (`seq2seq.analysis.phases`), of runs with a
  target over a memory and a size, the mean over the sizes; `contour/times`, how much longer it is
  by the law of the times to success;
- `growth/<key>`, the slope of that rate in the logarithm of a key, over the settings that differ in
  this key alone;
- `spread/<key>`: over which share of the range of a searched key the best quarter of runs spreads.

`where: {<key>: <value or list of values>}` selects runs by keys of the config or of the result; a
class is named as its file of configs is, `power_law`. `over: {<key>: <value>}` divides by the
quantity of the runs that differ in just that; with `alike: parameters`, by that of those runs on
the task that are nearest in this number, if they lie within a factor of 1.25. `less: {<key>:
<value>}` takes, of growth and contour, the difference from that of the runs that differ in just
that.

The quantity is estimated of every setting, which is what differs in more than the seed: the
geometric mean over seeds (the mean of accuracies, or if one is 0) and its 95% interval; one seed
alone counts as it is. `lowest: true` keeps the setting of the lowest mean only. A condition holds
if it does for some setting, and all that it says is true of it:

- `above: v`, `below: v`: all of the interval lies there; it fails if all of it lies on the other
  side, and is undecided if v lies in the interval;
- `contains: v`, `excludes: v`: the interval does; undecided where there is none;
- `reaches: v`: its upper end is at or above v;
- `law: exponential` or `power`, of `growth`: AIC prefers it; undecided if AIC cannot tell.

v is a number, a key of the config or of the result, another quantity, or `order_bound`: the NMSE
that the number of states allows a linear recurrence under white input.
"""

import math
from collections.abc import Mapping
from typing import Any

from seq2seq.errors import ConfigError, nearest
from seq2seq.schema.catalogue import settable

MISSING = object()

COMPARISONS = ("above", "below", "contains", "excludes", "reaches", "law")
KEYS = ("quantity", "where", "over", "less", "alike", "lowest", *COMPARISONS)
LAWS = ("exponential", "power")

#: Numbers of a run or of several, and what metrics of either begin with.
QUANTITIES = (
    *("success", "steps", "seconds", "cpu_seconds", "parameters", "state_size", "resting"),
    *("tolerated_noise", "approximation", "gap", "growth", "contour"),
)
BEGINNINGS = (
    *("test", "val", "generalisation", "plateau", "success", "growth", "contour", "spread"),
    *("reference", "reference_nmse", "reference_accuracy"),
)
#: Metrics of the project's tasks.
METRICS = ("loss", "nmse", "accuracy", "exact", "scaled", "bits_per_character", "perplexity")
#: What may follow a beginning, where that is known.
PARTS = {
    **dict.fromkeys(("test", "val", "generalisation"), METRICS),
    "plateau": ("level", "length", "censored"),
    "success": ("step", "threshold"),
    "contour": ("times",),
}
KINDS: dict[str, tuple[Any, str]] = {
    "quantity": (str, "a text"),
    "where": (Mapping, "a mapping"),
    "over": (Mapping, "a mapping"),
    "less": (Mapping, "a mapping"),
    "alike": (str, "a text"),
    "lowest": (bool, "true or false"),
    "law": (str, "a text"),
}


def check_criteria(conditions: Any) -> None:
    """Refuse conditions that the report could not evaluate.

    Raises:
        ConfigError: one line that names the key, the value and the remedy.
    """
    for index, condition in enumerate(conditions or ()):
        _check(f"refuted_if[{index}]", condition)


def check_names(conditions: Any, root: Mapping[str, Any]) -> None:
    """Refuse quantities and keys that no run can have, in a config that is about to be run.

    Args:
        conditions: `refuted_if`.
        root: the config; keys that it lacks must be those of another choice.

    Raises:
        ConfigError: as above.
    """
    for index, condition in enumerate(conditions or ()):
        path = f"refuted_if[{index}]"
        _check_quantity(f"{path}.quantity", condition["quantity"], root)
        for part in ("where", "over", "less"):
            for key in condition.get(part) or ():
                _check_key(f"{path}.{part}", str(key), root)
        for part in ("alike", "above", "below", "contains", "excludes", "reaches"):
            value = condition.get(part)
            if isinstance(value, str) and value != "order_bound":
                _check_key(f"{path}.{part}", value, root, "=")
                if value == condition["quantity"] and "over" not in condition:
                    raise ConfigError(f"{path}.{part} is the quantity itself; write a number")
                if isinstance(root.get(value), Mapping):
                    raise ConfigError(f"{path}.{part} must be a number or a key, got {value}")
        if condition["quantity"].partition("/")[0] in ("success", "contour") and not _target(root):
            raise ConfigError(
                f"{path}.quantity is {condition['quantity']}, and no run has a target; "
                "set callbacks.stop_at_target.target"
            )


def _target(root: Mapping[str, Any]) -> Any:
    return ((root.get("callbacks") or {}).get("stop_at_target") or {}).get("target")


def _check_quantity(path: str, quantity: str, root: Mapping[str, Any]) -> None:
    beginning, slash, rest = quantity.partition("/")
    known: tuple[str, ...] = (*QUANTITIES, *(f"{one}/" for one in BEGINNINGS))
    if beginning not in (BEGINNINGS if slash else QUANTITIES):
        raise ConfigError(f"{path} is not known: {quantity}{nearest(quantity, known)}")
    if slash and beginning in ("growth", "spread"):
        _check_key(path, rest, root)
    if beginning in PARTS and slash and not root.get("allow"):
        known = tuple(f"{beginning}/{one}" for one in PARTS[beginning])
        if f"{beginning}/{rest.partition('/')[0]}" not in known:
            raise ConfigError(f"{path} is not known: {quantity}{nearest(quantity, known)}")


def _check_key(path: str, key: str, root: Mapping[str, Any], joined: str = ".") -> None:
    if key.partition("/")[0] in PARTS and "/" in key:
        return _check_quantity(path, key, root)
    node: Any = root
    for part in key.split("."):
        node = node.get(part, MISSING) if isinstance(node, Mapping) else MISSING
    of_results = key in QUANTITIES or key.partition("/")[0] in BEGINNINGS
    # Keys of models and tasks from elsewhere are not known before these are chosen.
    elsewhere = root.get("allow") and key.partition(".")[0] in ("task", "model") and "." in key
    if node is MISSING and not of_results and not elsewhere and key not in settable():
        known = (*root, *settable())
        raise ConfigError(f"unknown key {path}{joined}{key}{nearest(key, known, '')}")


def _check(path: str, condition: Any) -> None:
    if not isinstance(condition, Mapping):
        raise ConfigError(
            f"{path} must be a mapping, got {condition!r}; "
            "write {quantity: test/nmse, above: 0.1}"
        )
    for key, value in condition.items():
        if key not in KEYS:
            raise ConfigError(f"unknown key {path}.{key}{nearest(key, KEYS)}")
        kind, must = KINDS.get(key, ((str, int, float), "a number or a key"))
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ConfigError(f"{path}.{key} must be {must}, got {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{path}.{key} must be a number, got {value}; correct it")
        if key in ("over", "less") and not value:
            raise ConfigError(f"{path}.{key} names nothing; write {key}: {{model: tcn}}")
        if key in ("over", "less") and "seed" in value:
            raise ConfigError(f"{path}.{key} divides run by run of one seed; leave out seed")
    for key in ("over", "less"):
        same = condition.get(key) or {}
        if same and same.items() <= (condition.get("where") or {}).items():
            raise ConfigError(f"{path}.{key} compares runs with themselves; name others than where")
    if "alike" in condition and "over" not in condition:
        raise ConfigError(f"{path}.alike chooses what over divides by; add over or leave it out")
    if "quantity" not in condition:
        raise ConfigError(f"{path} has no quantity; add quantity: test/nmse")
    if not any(key in condition for key in COMPARISONS):
        raise ConfigError(f"{path} compares with nothing; add one of {', '.join(COMPARISONS)}")
    above, below = condition.get("above"), condition.get("below")
    if isinstance(above, int | float) and isinstance(below, int | float) and above >= below:
        raise ConfigError(
            f"{path} holds where both do, and nothing lies above {above} and below {below}; write "
            "two conditions"
        )
    if condition.get("law", "power") not in LAWS:
        raise ConfigError(f"{path}.law must be one of {', '.join(LAWS)}; got {condition['law']}")
    for key, quantities in (("law", ("growth",)), ("less", ("growth", "contour"))):
        if key in condition and condition["quantity"] not in quantities:
            raise ConfigError(
                f"{path}.{key} is one of {' and '.join(quantities)}; write quantity: growth"
            )
    if "law" in condition and "less" in condition:
        raise ConfigError(f"{path}.law is none of a difference; write it without less")
