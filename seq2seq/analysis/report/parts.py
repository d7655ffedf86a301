"""What a sweep says by its first seeds, and what a replication with held-out seeds says."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from seq2seq.analysis.report.growth import Growth, growth
from seq2seq.analysis.report.power import Power, power
from seq2seq.analysis.report.sweep import Sweep, plain
from seq2seq.analysis.report.unsolved import Unsolved, unsolved
from seq2seq.analysis.report.verdict import Verdict, Word, verdicts


@dataclass(frozen=True)
class Part:
    """The runs of some of the seeds, and what they say.

    Attributes:
        name: `first` or `replication`.
        powers: of each verdict.
    """

    name: str
    sweep: Sweep = field(repr=False)
    fits: list[Growth] = field(repr=False)
    verdicts: list[Verdict]
    powers: list[list[Power]] = field(repr=False)

    @cached_property
    def unsolved(self) -> list[Unsolved]:
        """The settings in which runs failed; weights are set by hand and tested for it."""
        return [*unsolved(self.sweep, self.fits)]

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds of its runs."""
        return [plain(seed) for seed in sorted(self.sweep.table["seed"].unique())]

    @property
    def words(self) -> list[Word]:
        """The verdicts."""
        return [one.word for one in self.verdicts]

    @property
    def word(self) -> Word | None:
        """The one word for several claims: a refuted one decides, then an undecided one."""
        order: tuple[Word, ...] = ("refuted", "undecided", "supported")
        return next((one for one in order if one in self.words), None)

    @property
    def minutes(self) -> float:
        """What its runs took together by the clock."""
        table = self.sweep.table
        return float(table["seconds"].sum()) / 60 if "seconds" in table else 0.0

    @property
    def cpu_minutes(self) -> float | None:
        """What its runs took together of the processor; None where not all have noted it."""
        taken = self.sweep.table.get("cpu_seconds")
        return None if taken is None or taken.isna().any() else float(taken.sum()) / 60

    @property
    def title(self) -> str:
        """Its name and its seeds."""
        first, last = self.seeds[0], self.seeds[-1]
        whole = self.seeds == list(range(first, last + 1))
        told = f"{first} to {last}" if whole and first < last else ", ".join(map(str, self.seeds))
        return f"{self.name.capitalize()} (seed{'s' * (len(self.seeds) > 1)} {told})"


def parts(sweep: Sweep) -> Iterator[Part]:
    """The first seeds, and the replication if there is one."""
    for name, own in sweep.sets().items():
        fits = growth(own)
        found = verdicts(own, fits)
        yield Part(name, own, fits, found, [power(own, fits, one) for one in found])
