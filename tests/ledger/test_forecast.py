from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from swarm.core.order import Forecast, Plan, PlannedTask
from swarm.ledger.forecast import forecast
from swarm.ledger.prices import PriceBook, PriceSetting

NOW = datetime(2026, 12, 1, tzinfo=UTC)
ROLES = ("ceo", "cto", "marketcom", "support")
MODELS = {
    "ceo": "openai/gpt-5",
    "cto": "anthropic/claude-sonnet-4-5",
    "marketcom": "gemini/gemini-2.5-pro",
    "support": "local/gemma3-270m",
    "guest": "nobody/nothing",
    "bank": "eu/model",
}
EURO = PriceSetting(input_per_million=Decimal(1), output_per_million=Decimal(2), currency="EUR")
BOOK = PriceBook.load(overrides={"eu/model": EURO})


def reviewer_of(role: str) -> str | None:
    return "cto" if role == "ceo" else "ceo"


def foresee(
    *roles: str, max_steps: int = 30, spent_calls: int = 2, head: str = "ceo", alone: bool = False
) -> Forecast:
    tasks = (
        PlannedTask(
            id=f"t{index}",
            role=role,
            title="Build",
            brief="Build it.",
            deliverable="A file",
            human_hours=Decimal(1),
        )
        for index, role in enumerate(roles)
    )
    return forecast(
        Plan(approach="One after the other", tasks=tuple(tasks)),
        book=BOOK,
        model_of=MODELS.__getitem__,
        reviewer_of=(lambda role: None) if alone else reviewer_of,
        head=head,
        at=NOW,
        max_steps=max_steps,
        spent_calls=spent_calls,
    )


def test_a_plan_of_one_task_is_priced_by_hand() -> None:
    expected = foresee("cto")

    # Sonnet, 3 and 15 per million: 2 x (1,500 in, 300 out). GPT-5, 1.25 and 10: a review, the
    # answer and the two calls already made.
    assert expected.calls_low == 6
    assert expected.low == 2 * Decimal("0.009") + 4 * Decimal("0.004875")
    # Sonnet: 30 x (16,000 in, 2,000 out). GPT-5: 3 reviews, the answer, two calls.
    assert expected.calls_high == 36
    assert expected.high == 30 * Decimal("0.078") + 6 * Decimal("0.04")
    assert expected.currency == "USD"


def test_a_low_step_limit_bounds_the_calls() -> None:
    expected = foresee("cto", max_steps=1, spent_calls=0)

    assert (expected.calls_low, expected.calls_high) == (3, 7)


def test_work_that_nobody_can_review_has_no_reviews_to_pay() -> None:
    expected = foresee("ceo", alone=True, spent_calls=0)

    assert (expected.calls_low, expected.calls_high) == (3, 31)


def test_one_model_without_a_price_leaves_the_sum_unknown_and_counts_the_calls() -> None:
    expected = foresee("cto", "guest")

    assert (expected.low, expected.high, expected.currency) == (None, None, "USD")
    assert expected.calls_low == 9


def test_two_currencies_make_no_sum() -> None:
    expected = foresee("cto", "bank")

    assert (expected.low, expected.high) == (None, None)


def test_a_company_on_its_own_hardware_pays_nothing() -> None:
    expected = foresee("support", head="support", alone=True)

    assert (expected.low, expected.high) == (Decimal(0), Decimal(0))


@given(
    roles=st.lists(st.sampled_from(ROLES), max_size=12),
    more=st.sampled_from(ROLES),
    max_steps=st.integers(min_value=1, max_value=60),
    spent=st.integers(min_value=0, max_value=20),
)
def test_low_never_passes_high_and_more_tasks_are_never_cheaper(
    roles: list[str], more: str, max_steps: int, spent: int
) -> None:
    fewer = foresee(*roles, max_steps=max_steps, spent_calls=spent)
    longer = foresee(*roles, more, max_steps=max_steps, spent_calls=spent)

    assert fewer.low is not None
    assert fewer.high is not None
    assert longer.low is not None
    assert longer.high is not None
    assert fewer.low <= fewer.high
    assert fewer.calls_low <= fewer.calls_high
    assert longer.low >= fewer.low
    assert longer.high >= fewer.high
