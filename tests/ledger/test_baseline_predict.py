"""Predictions for programs: any level, every size, and a sentence for what makes no sense."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.errors import InvalidInput
from swarm.ledger.baseline.history import History
from swarm.ledger.baseline.predict import Predictor, read_levels
from swarm.ledger.baseline.rates import find_rate

TASK = {"kind": "task", "class": "bug", "estimate_hours": 4}
PRODUCT = {"kind": "product", "size": {"function_points": 100}}


def line(document: object, **given: Any) -> dict[str, Any]:
    return Predictor(**given).line(json.dumps(document))


def test_a_task_answers_with_hours_elapsed_and_cost_one_interval_a_level() -> None:
    answer = line(TASK, levels=(0.5, 0.8, 0.9))

    assert (answer["kind"], answer["class"], answer["measured_class"]) == ("task", "bug", "bug")
    for name in ("hours", "elapsed", "cost"):
        found = answer[name]
        assert [band["level"] for band in found["intervals"]] == [0.5, 0.8, 0.9]
        for band in found["intervals"]:
            assert float(band["low"]) < float(found["p50"]) < float(band["high"])
        for inner, outer in pairwise(found["intervals"]):
            assert float(outer["low"]) <= float(inner["low"])
            assert float(inner["high"]) <= float(outer["high"])
    assert answer["cost"]["currency"] == "EUR"
    assert answer["method"]
    assert all(answer["sources"])
    assert answer["reference_cases"] > 1000


@settings(deadline=None, max_examples=20)
@given(
    levels=st.lists(st.floats(0.001, 0.999), min_size=1, max_size=6),
    request=st.sampled_from([TASK, PRODUCT, {"kind": "task", "class": "article"}]),
)
def test_any_levels_may_be_asked_for_and_nest(levels: list[float], request: Any) -> None:
    answer = line(request, levels=read_levels(",".join(map(repr, levels))))

    for name in ("hours", "elapsed", "cost"):
        bands = answer[name]["intervals"]
        assert len(bands) == len({float(repr(level)) for level in levels})
        for inner, outer in pairwise(bands):
            assert float(outer["low"]) <= float(inner["low"])
            assert float(inner["high"]) <= float(outer["high"])


def test_country_and_contract_set_the_rate() -> None:
    french = line({**PRODUCT, "country": "France", "contract": "freelancer"})

    assert french["rate"]["country"] == "FR"
    assert french["rate"]["contract"] == "freelance"
    assert float(french["cost"]["p50"]) > float(line(PRODUCT)["cost"]["p50"])
    assert line({**TASK, "country": "US"})["cost"]["currency"] == "USD"
    own = line(TASK, rate=find_rate("DE", "agency"))
    assert own["rate"]["country"] == "DE"


def test_a_companys_own_history_moves_the_band_and_is_named() -> None:
    slow = line(TASK, history=History(count=40, shift=1.0, stretch=0.8))

    assert float(slow["hours"]["p50"]) > float(line(TASK)["hours"]["p50"])
    assert "fitted on n = 40 of your own" in slow["method"]
    assert "borrowed, n = 0 of your own" in line(TASK)["method"]


BAD = [
    ("", "empty"),
    ("{", "not JSON"),
    ("[" * 100_000, "not JSON"),
    ("[1]", "no JSON object"),
    ({}, 'write "task"'),
    ({"kind": "tsak"}, 'write "task"'),
    ({"kind": "task"}, "class: name the kind of work"),
    ({"kind": "task", "class": "bgu"}, "did you mean 'bug'"),
    ({"kind": "task", "class": 7}, "class: name the kind of work"),
    ({**TASK, "estimate_hours": 0}, "not above 0"),
    ({**TASK, "estimate_hours": -3}, "not above 0"),
    ({**TASK, "estimate_hours": float("nan")}, "no amount"),
    ({**TASK, "estimate_hours": float("inf")}, "no amount"),
    ({**TASK, "estimate_hours": 1e300}, "is not from"),
    ({**TASK, "estimate_hours": "soon"}, "write a number of hours"),
    ({**TASK, "estimate_hours": True}, "write a number of hours"),
    ({**TASK, "estimate": 4}, "no 'estimate'; did you mean 'estimate_hours'"),
    ({**TASK, "country": "XX"}, "country: the rate table has no 'XX'"),
    ({**TASK, "country": "Germny"}, "did you mean 'germany'"),
    ({**TASK, "country": 49}, "country: write a word"),
    ({**TASK, "contract": "freelanse"}, "did you mean 'freelance'"),
    ({"kind": "product"}, "size: write one of"),
    ({**PRODUCT, "size": {}}, "size: write one of"),
    ({**PRODUCT, "size": {"ksloc": 0}}, "size.ksloc: 0 is not above 0"),
    ({**PRODUCT, "size": {"ksloc": -1}}, "not above 0"),
    ({**PRODUCT, "size": {"ksloc": float("nan")}}, "no amount"),
    ({**PRODUCT, "size": {"function_point": 3}}, "did you mean 'function_points'"),
    ({**PRODUCT, "size": {"fp": 3, "function_points": 3}}, "given twice"),
    ({**PRODUCT, "parts": 0}, "parts: write a whole number"),
    ({**PRODUCT, "parts": 2.5}, "parts: write a whole number"),
    ({**PRODUCT, "parts": True}, "parts: write a whole number"),
    ({**PRODUCT, "parts": 10**400}, "parts: write a whole number"),
    ({**PRODUCT, "drivers": {"CPLEX": "high"}}, "no driver 'CPLEX'"),
    ({**PRODUCT, "drivers": ["CPLX"]}, "drivers: write names and levels"),
]


@pytest.mark.parametrize(("document", "words"), BAD, ids=range(len(BAD)))
def test_what_makes_no_sense_is_a_line_with_a_sentence(document: object, words: str) -> None:
    text = document if isinstance(document, str) else json.dumps(document)

    answer = Predictor().line(text)

    assert words in answer["error"]
    assert set(answer) == {"error"}


def test_an_id_comes_back_with_the_answer_and_with_the_error() -> None:
    assert line({**TASK, "id": "a1"})["id"] == "a1"
    assert line({"kind": "task", "class": "bgu", "id": 7})["id"] == 7


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3)
    ),
    max_leaves=6,
)
keys = st.sampled_from(
    ["class", "estimate_hours", "size", "drivers", "parts", "country", "contract", "id"]
)


@settings(deadline=None, max_examples=150)
@given(
    kind=st.sampled_from(["task", "product"]), rest=st.dictionaries(keys, json_values, max_size=5)
)
def test_no_object_however_odd_breaks_it(kind: str, rest: dict[str, Any]) -> None:
    answer = line({"kind": kind, **rest})

    assert ("error" in answer) != ("hours" in answer)


@pytest.mark.parametrize("text", ["", "1", "0", "0.8,", "high", "nan", "-0.5", "0.99999"])
def test_a_level_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="--levels"):
        read_levels(text)


def test_levels_come_back_rising_and_once() -> None:
    assert read_levels("0.9, 0.5,0.9") == (0.5, 0.9)
