"""How often noise alone ends a plateau, and how exactly the escape from one is timed."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from seq2seq import checks
from seq2seq.analysis.plateau import RULE, Rule, find
from seq2seq.results import store

Array = NDArray[np.float64]

#: Standard deviation of the noise, steps over which it is correlated, the rule's `window`.
GRID = [(0.0, 0.0, 10)] + [
    (sd, correlation, window)
    for correlation, window in ((0.0, 10), (2.5, 10), (10.0, 40), (10.0, 10))
    for sd in (0.03, 0.1, 0.3, 1.0)
]
LENGTHS = (100, 1_000, 10_000)


def measure(runs: int = 1000, seed: int = 0, json: Path | None = None) -> None:
    """False alarms and errors of the escape from a known level, by simulation.

    Losses that stay at the level tell the false alarms. Others leave it after 100, 1,000 or 10,000
    steps: at once, down to a tenth, or as from a saddle, like 1/(1 + e^{t/c}/3) with c a twentieth
    of the plateau. The noise is lognormal, of mean one, and multiplies.

    Args:
        runs: simulated for each share of false alarms; a tenth of them for each error
        seed: of the noise
        json: write the rows to this file, too
    """
    checks.writable("json", json)
    checks.integer("runs", runs, 10)
    rows = []
    print("False alarms within 100, 1,000, 10,000 steps; errors of plateaus of that length.")
    print("noise correlation  window  false alarms            left at once            left slowly")
    for sd, correlation, window in GRID:
        left = Simulation(np.random.default_rng(seed), sd, correlation, Rule(window=window)).left
        row: dict[str, Any] = {"sd": sd, "correlation": correlation, "window": window, "runs": runs}
        _, alarm = left(np.ones(LENGTHS[-1]), runs)
        for length in LENGTHS:
            row[f"false_{length}"] = float(np.mean(alarm <= length))
        for shape in ("sharp", "slow"):
            for length in LENGTHS:
                escape, alarm = left(falling(shape, length), runs // 10) - (length + 1)
                seen = escape[np.isfinite(escape)] / length
                row[f"{shape}_{length}"] = float(seen.mean())
                row[f"{shape}_spread_{length}"] = float(seen.std())
                row[f"{shape}_delay_{length}"] = float(np.median(alarm))
        rows.append(row)
        told = [
            f"{row[f'{kind}_{n}']:8.2%}" for kind in ("false", "sharp", "slow") for n in LENGTHS
        ]
        print(f"{sd:5g} {correlation:11g} {window:7} {''.join(told)}", flush=True)
    store(json, rows, false_alarm=RULE.false_alarm, drop=RULE.drop)


@dataclass(frozen=True)
class Simulation:
    """Losses under noise, and what a rule says of them."""

    random: np.random.Generator
    sd: float
    correlation: float
    rule: Rule

    def left(self, mean: Array, count: int) -> Array:
        """The escape from the level 1 and the step of its alarm, infinite where there is none.

        Args:
            mean: of the losses at each step.
            count: simulated.

        Returns:
            (2, count).
        """
        found: list[tuple[float, float]] = []
        step = np.arange(1, mean.size + 1)
        for _ in range(count):
            loss = mean * noise(self.random, mean.size, self.sd, self.correlation)
            seen = find({"step": step, "loss": loss}, 1.0, self.rule)
            # Of a loss that is taken never to have been at the level there is no plateau.
            found += [(one.escape or math.inf, one.alarm or math.inf) for one in seen] or [(0, 0)]
        return np.array(found).T


def noise(random: np.random.Generator, steps: int, sd: float, correlation: float) -> Array:
    """Lognormal noise of mean one, whose logarithm is a stationary AR(1).

    Args:
        random: draws it.
        steps: how many.
        sd: standard deviation of the noise.
        correlation: steps over which the logarithm's correlation falls to 1/e; 0: white noise.
    """
    sigma, logs = math.sqrt(math.log1p(sd**2)), random.normal(size=steps)
    if correlation:
        kept = math.exp(-1 / correlation)
        logs[1:] *= math.sqrt(1 - kept**2)
        logs = lfilter([1.0], [1.0, -kept], logs)
    return np.asarray(np.exp(sigma * logs - sigma**2 / 2))


def falling(shape: str, length: int) -> Array:
    """A loss that rests at 1 and lies `drop` below it from step `length` + 1 on."""
    step = np.arange(1, 2 * length + 2001)
    if shape == "sharp":
        return np.where(step <= length, 1.0, 0.1)
    grown = np.exp(np.minimum(20 * (step - length) / length, 50))
    return np.asarray(1 / (1 + grown * RULE.drop / (1 - RULE.drop)))
