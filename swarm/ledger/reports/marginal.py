"""Show, for each kind of order, what the next one costs."""

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal

from swarm.core.money import PICO, from_pico
from swarm.ledger.reports import curve
from swarm.ledger.reports.document import CurveDocument, CurvePointDocument, plain_decimal
from swarm.ledger.reports.sums import OrderSum

TOO_FEW = "{orders} of this kind with a known cost: too few for a curve, which takes {least}."
FLAT = "The cost does not fall as orders repeat."
WEAK = "No clear fall: the shape explains only {share:.0%} of the scatter."
CLEAR = 0.2
FITTED = "Fitted by least squares to the means shown, weighted by orders."


def curves(orders: Iterable[OrderSum], counts: Mapping[str, int]) -> list[CurveDocument]:
    """Return the marginal-cost curve of every kind of order, or why there is none.

    Args:
        orders: By kind and number, from the company's first on, so that the n-th is the n-th.
        counts: How many orders there are of each kind.
    """
    kinds: dict[str, dict[int, list[OrderSum]]] = {kind: {} for kind in sorted(counts)}
    for order in orders:
        kinds[order.kind].setdefault(order.number, []).append(order)
    return [
        document
        for kind, numbers in kinds.items()
        for document in _of_kind(kind, numbers, counts[kind])
    ]


def _of_kind(kind: str, numbers: Mapping[int, list[OrderSum]], orders: int) -> list[CurveDocument]:
    # What costs nothing in one currency says nothing about it.
    charged = {n: [s for s in sums if s.cost_pico or s.unpriced] for n, sums in numbers.items()}
    whole = [sums[0] for sums in charged.values() if len(sums) == 1 and not sums[0].unpriced]
    left_out = len(numbers) - len(whole)
    currencies: dict[str, list[OrderSum]] = {}
    for order in whole:
        currencies.setdefault(order.currency, []).append(order)
    return [
        _document(kind, currency, found, orders=orders, left_out=left_out)
        for currency, found in sorted(currencies.items())
    ]


def _document(
    kind: str, currency: str, known: list[OrderSum], *, orders: int, left_out: int
) -> CurveDocument:
    fitted: curve.Curve | None = None
    points: list[curve.Point] = []
    if len(known) < curve.LEAST_ORDERS:
        note = TOO_FEW.format(orders=len(known), least=curve.LEAST_ORDERS)
    else:
        points = curve.points([_cost(order) for order in known])
        fitted = curve.fit(points)
        note = FLAT if fitted is None else FITTED
        if fitted is not None and fitted.r_squared < CLEAR:
            note = WEAK.format(share=fitted.r_squared)
    return CurveDocument(
        kind=kind,
        currency=currency,
        orders=orders,
        left_out=left_out,
        floor=None if fitted is None else plain_decimal(fitted.floor),
        extra=None if fitted is None else plain_decimal(fitted.extra),
        exponent=None if fitted is None else plain_decimal(fitted.exponent),
        r_squared=None if fitted is None else plain_decimal(fitted.r_squared),
        points=[_point(point, fitted) for point in points],
        note=note,
    )


def _cost(order: OrderSum) -> curve.OrderCost:
    return curve.OrderCost(
        number=order.number,
        amount=from_pico(order.cost_pico),
        is_accepted=order.accepted_at is not None,
        cached_tokens=order.cached_tokens,
        prompt_tokens=order.prompt_tokens,
    )


def _point(point: curve.Point, fitted: curve.Curve | None) -> CurvePointDocument:
    accepted = Decimal(point.accepted) / point.orders
    return CurvePointDocument(
        first=point.first,
        last=point.last,
        looked_at=point.orders,
        mean=point.mean.quantize(PICO, ROUND_HALF_EVEN),
        accepted_share=accepted.quantize(Decimal("0.001"), ROUND_HALF_EVEN),
        cached_share=None if point.cached_share is None else plain_decimal(point.cached_share),
        fitted=None if fitted is None else plain_decimal(fitted.at(point.middle)),
    )
