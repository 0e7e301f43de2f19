"""What the benchmarks tell: ratios with their spread, targets, and what was wrong."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Literal

from attrs import asdict, frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

__all__ = ["Section", "Spread", "Target"]


@frozen
class Spread:
    """One figure as it came out of every round."""

    least: float
    lower_quartile: float
    median: float
    upper_quartile: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of *values*, of which there is at least one."""
        if len(values) == 1:
            return cls(*(values[0],) * 5)
        lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
        return cls(min(values), lower, middle, upper, max(values))

    def show(self, digits: int = 2) -> str:
        """Median, and the quartiles, between which half of the rounds were."""
        low, mid, high = (
            f"{value:.{digits}f}"
            for value in (self.lower_quartile, self.median, self.upper_quartile)
        )
        return f"{mid} ({low}..{high})"


@frozen
class Target:
    """A ratio that is hoped for; missing it is no failure."""

    what: str
    ratio: Spread
    bound: float
    side: Literal["at least", "at most"]

    @property
    def met(self) -> bool:
        """Whether the median is on the right side of the bound."""
        if self.side == "at least":
            return self.ratio.median >= self.bound
        return self.ratio.median <= self.bound

    def show(self) -> str:
        """One line, with both ends of what was seen."""
        verdict = "[green]target met[/]" if self.met else "[bold red]target missed[/]"
        return (
            f"{verdict}: {self.what}: {self.ratio.show(3)}, "
            f"{self.side} {self.bound:g}; "
            f"all rounds {self.ratio.least:.2f}..{self.ratio.most:.2f}"
        )


@frozen
class Section:
    """All that one benchmark has to say.

    Attributes:
        figures: Ready for JSON.

        wrong: What must never happen and did; anything here fails the run.
    """

    name: str
    table: Table
    figures: dict[str, Any]
    targets: tuple[Target, ...] = ()
    wrong: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Everything but the table."""
        return {
            "figures": self.figures,
            "targets": [asdict(each) | {"met": each.met} for each in self.targets],
            "wrong": list(self.wrong),
        }
