"""How many times cheaper, or dearer, than people the company was: a band, never a point."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal

from swarm.core.money import CostStatus, Money, plain
from swarm.core.order import Baseline

_CONTEXT = Context(prec=2, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class RatioBand:
    """The human cost over the company's at three quantiles of the human cost: p10 < p50 < p90."""

    p10: Decimal
    p50: Decimal
    p90: Decimal

    @property
    def words(self) -> str:
        """Say it in words: `between 12x and 60x cheaper, most likely 30x`."""
        if self.p10 >= 1:
            return f"between {_times(self.p10)} and {_times(self.p90)} cheaper, most likely {_times(self.p50)}"
        if self.p90 <= 1:
            low, middle, high = (_times(1 / value) for value in (self.p90, self.p50, self.p10))
            return f"between {low} and {high} dearer, most likely {middle}"
        likely = (
            f"{_times(self.p50)} cheaper" if self.p50 >= 1 else f"{_times(1 / self.p50)} dearer"
        )
        return (
            f"between {_times(1 / self.p10)} dearer and {_times(self.p90)} cheaper, most likely "
            f"{likely}"
        )


def ratio(
    cost: Money | None, estimate: Baseline, *, status: CostStatus = CostStatus.PAID
) -> RatioBand | None:
    """Hold a baseline against what the work cost.

    Args:
        cost: All that the order cost, in the baseline's currency; None where nobody knows.
        estimate: The frozen baseline.
        status: What is known of `cost`.

    Returns:
        The band; None where there is no honest one, for which `why_no_ratio` has the sentence.
    """
    if why_no_ratio(cost, estimate, status=status) is not None:
        return None
    assert cost is not None
    band = estimate.cost
    return RatioBand(band.p10 / cost.amount, band.p50 / cost.amount, band.p90 / cost.amount)


def why_no_ratio(
    cost: Money | None, estimate: Baseline, *, status: CostStatus = CostStatus.PAID
) -> str | None:
    """Return why a cost and a baseline cannot be compared; None where they can."""
    if cost is None or status is CostStatus.UNPRICED:
        return "No ratio: part of the cost is unpriced, so nobody knows what the order cost."
    if not cost.amount.is_finite() or cost.amount <= 0:
        return "No ratio: no cost was counted, and nothing can be so many times cheaper than it."
    if cost.currency != estimate.cost.currency:
        return (
            f"No ratio: the cost is in {cost.currency}, the human baseline in "
            f"{estimate.cost.currency}; set `rates` in company.yaml."
        )
    return None


def _times(value: Decimal) -> str:
    return f"{plain(_CONTEXT.plus(value))}×"  # noqa: RUF001  # the sign that people read as times
