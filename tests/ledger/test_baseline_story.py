"""The founding story comes out of the general way, whatever it is called and however it is asked."""

from decimal import Decimal
from typing import Any

import pytest

from swarm.core.order import Plan, PlannedTask
from swarm.ledger.baseline import estimate
from swarm.ledger.baseline.predict import Predictor


def band(answer: dict[str, Any], name: str, level: float = 0.8) -> tuple[float, float]:
    found = next(b for b in answer[name]["intervals"] if b["level"] == level)
    return float(found["low"]), float(found["high"])


def predicted(**request: Any) -> dict[str, Any]:
    return Predictor().one(request)


# 5 to 8 developers for 6 months are 30 to 48 person-months; five products of 2.4 KSLOC each.
FIVE_PRODUCTS = [
    {"size": {"ksloc": 12}},
    {"size": {"function_points": 490}},
    {"size": {"use_cases": 28}},
    {"size": {"ksloc": 12, "function_points": 490}},
    {"estimate_hours": 39 * 152},
]


@pytest.mark.parametrize("size", FIVE_PRODUCTS, ids=str)
def test_five_products_at_a_quarter_million_lie_in_the_band(size: dict[str, Any]) -> None:
    answer = predicted(kind="product", parts=5, country="FR", contract="salaried", **size)

    low, high = band(answer, "cost")
    assert low < 250_000 < high
    assert answer["cost"]["currency"] == "EUR"
    least, most = band(answer, "hours")
    assert least < 30 * 152 < 48 * 152 < most
    soonest, latest = band(answer, "elapsed")
    assert soonest < 6 * 730.5 < latest


def test_six_months_are_too_short_for_one_system_but_not_for_five() -> None:
    # One system of 39 person-months: nominal 11.8 months, and 6 are 51 % of them.
    one = predicted(kind="product", estimate_hours=39 * 152)
    five = predicted(kind="product", estimate_hours=39 * 152, parts=5)
    six_months = 6 * 730.5

    assert float(one["elapsed"]["schedule_floor"]) > six_months
    assert float(five["elapsed"]["schedule_floor"]) < six_months
    assert float(one["elapsed"]["schedule_floor"]) == pytest.approx(0.75 * 11.8 * 730.5, rel=0.05)


@pytest.mark.parametrize("name", ["article", "writing", "blog post", "documentation", "other"])
def test_an_article_at_300_with_48_hours_elapsed_lies_in_its_bands(name: str) -> None:
    answer = predicted(kind="task", **{"class": name}, estimate_hours=5, contract="freelance")

    least, most = band(answer, "hours")
    assert least < 4 < 6 < most
    low, high = band(answer, "cost")
    assert low < 300 < high
    soonest, latest = band(answer, "elapsed")
    assert soonest < 48 < latest
    assert 24 < float(answer["elapsed"]["p50"]) < 96, "two days, give or take one"


def test_an_article_without_an_estimate_is_as_wide_as_articles_are() -> None:
    wide = predicted(kind="task", **{"class": "article"})
    told = predicted(kind="task", **{"class": "article"}, estimate_hours=5)

    (low, high), (least, most) = band(wide, "hours"), band(told, "hours")
    assert low < 4 < 6 < high
    assert high / low > 20
    assert most / least < high / low
    assert "without an estimate" in wide["method"]


@pytest.mark.parametrize("factor", [0.25, 2, 8])
def test_the_story_scales_with_its_size(factor: float) -> None:
    story = predicted(kind="product", parts=5, size={"function_points": 490})
    other = predicted(kind="product", parts=5, size={"function_points": 490 * factor})

    assert float(other["cost"]["p50"]) == pytest.approx(
        float(story["cost"]["p50"]) * factor, rel=0.12
    )
    low, high = band(other, "cost")
    assert low < 250_000 * factor < high


def test_the_story_comes_out_of_an_orders_plan_under_any_name() -> None:
    for title in ("Build the shop", "Renamed beyond recognition"):
        tasks = tuple(
            PlannedTask(
                id=f"t{n}",
                role="cto",
                title=title,
                brief=title,
                deliverable="A product",
                human_hours=Decimal(1186),
                kind="software",
            )
            for n in range(5)
        )
        found = estimate(Plan(approach=title, tasks=tasks), author="ceo", at=None)
        assert found.cost.p10 < 250_000 < found.cost.p90
        assert found.hours.p10 < 30 * 152 < 48 * 152 < found.hours.p90
