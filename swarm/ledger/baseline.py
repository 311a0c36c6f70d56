"""What a human team would have needed for a plan: hours and money as bands, before any work.

Each task's hours are the planner's own estimate, and an estimate is wrong by a factor: the log of
actual over estimate is taken as normal around zero. A plan's hours are their sum, with errors
that lean the same way (`CORRELATION`), matched by mean and variance to one lognormal (Fenton and
Wilkinson's approximation; exact for one task, and in the limit of many equal ones). All of it is
decimal arithmetic, so that the same plan gives the same digits on every machine.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

from swarm.core.money import plain
from swarm.core.order import Baseline, CostBand, HoursBand, Plan

CALIBRATION = "borrowed-x4"
"""Names the numbers below; a baseline made with others carries another name."""

TASK_FACTOR = Decimal(4)
"""Half-width of one task's 80 % band as a factor. Within one firm, actual over estimate stays
within 0.4 to 2.0; carried to another firm, only x/÷4 or wider held."""

CORRELATION = Decimal("0.5")
"""Of the logs of two tasks' errors: one planner, one team, one optimism."""

RATE = CostBand(p10=Decimal("33.5"), p50=Decimal(44), p90=Decimal(75), currency="EUR")
"""An hour of human work: the EU's mean labour cost, France's, and a freelance web developer at
550 EUR for a day of 7.3 hours."""

SOURCES = (
    "Hours of each task: the planner's estimate, made before the work.",
    "Actual over estimate within one firm: 0.4 to 2.0, fitted on 6,025 tasks estimated until June "
    "2008, held for 80 % of the next year's 973: Jones and Cullum, arXiv 1901.01621.",
    "Width without own history, x/÷4: medians of two of three data sets predicted 75 to 100 % of "
    "the third's projects within that factor (Kitchenham et al. 2002, n = 145; Maxwell 2002, "
    "n = 62; Albrecht and Gaffney 1983, n = 24).",
    "Hourly cost 33.5 EUR (EU) and about 44 EUR (France), salaried, 2024, all sectors but farming "
    "and public administration: Eurostat, labour cost levels (euro area: 37.3 EUR).",
    "Hourly cost 75 EUR: freelance web developer, France, 450 to 550 EUR a day, upper end.",
)

_Z90 = Decimal("1.2815515655446004")
"""The 90 % quantile of the standard normal distribution."""
_DIGITS = 3
"""Significant digits shown; a band this wide supports no more."""
_CONTEXT = Context(prec=28, rounding=ROUND_HALF_EVEN)


def estimate(plan: Plan, *, author: str, at: datetime | None) -> Baseline:
    """Estimate what people would have needed for a plan.

    Args:
        plan: Its tasks' `human_hours` are read as medians.
        author: The role, or person, that made the estimates.
        at: When the baseline is frozen, aware; None for a view that is not stored.

    Returns:
        80 % bands with p10 < p50 < p90, to three significant digits.

    Raises:
        ValueError: The plan has no task, so there is nothing to estimate.
    """
    if not plan.tasks:
        raise ValueError("a plan without tasks has no baseline")
    with localcontext(_CONTEXT):
        hours = _sum([task.human_hours for task in plan.tasks])
        cost = _product(hours, RATE)
    return Baseline(
        hours=HoursBand(p10=_rounded(hours.p10), p50=_rounded(hours.p50), p90=_rounded(hours.p90)),
        cost=CostBand(
            p10=_rounded(cost.p10),
            p50=_rounded(cost.p50),
            p90=_rounded(cost.p90),
            currency=RATE.currency,
        ),
        method=_method(len(plan.tasks)),
        sources=SOURCES,
        author=author,
        frozen_at=at,
    )


def _sum(medians: Sequence[Decimal]) -> HoursBand:
    """Add lognormals of one width whose logs are correlated; return the sum's quantiles."""
    variance = (TASK_FACTOR.ln() / _Z90) ** 2
    total = sum(medians, Decimal(0))
    squares = sum((median * median for median in medians), Decimal(0))
    # Var = sum over all pairs of m_i m_j e^v (e^cov - 1), with cov = v on the diagonal.
    own, shared = variance.exp() - 1, (CORRELATION * variance).exp() - 1
    relative = (squares * own + (total * total - squares) * shared) / (total * total)
    log_variance = (1 + relative).ln()
    median = total * ((variance - log_variance) / 2).exp()
    spread = (_Z90 * log_variance.sqrt()).exp()
    return HoursBand(p10=median / spread, p50=median, p90=median * spread)


def _product(hours: HoursBand, rate: CostBand) -> CostBand:
    """Multiply two independent bands: medians multiply, half-widths add in quadrature in logs."""
    median = hours.p50 * rate.p50
    down = _quadrature(hours.p50 / hours.p10, rate.p50 / rate.p10)
    up = _quadrature(hours.p90 / hours.p50, rate.p90 / rate.p50)
    return CostBand(p10=median / down, p50=median, p90=median * up, currency=rate.currency)


def _quadrature(one: Decimal, other: Decimal) -> Decimal:
    return (one.ln() ** 2 + other.ln() ** 2).sqrt().exp()


def _rounded(value: Decimal) -> Decimal:
    """Keep three significant digits, written without an exponent."""
    return Decimal(plain(Context(prec=_DIGITS, rounding=ROUND_HALF_EVEN).plus(value)))


def _method(tasks: int) -> str:
    added = (
        f"; {tasks} tasks added as lognormals with a common factor (correlation {CORRELATION})"
        if tasks > 1
        else ""
    )
    return (
        f"{CALIBRATION}: the planner's hours per task x/÷{TASK_FACTOR} as an 80 % band{added}; "
        f"times {RATE.p10} / {RATE.p50} / {RATE.p90} {RATE.currency} per hour (salaried EU 2024 to "
        f"freelance), combined in quadrature in logs. n = 0 own observations: the width is "
        f"borrowed from other firms' records."
    )
