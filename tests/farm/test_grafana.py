"""The dashboard and the alerts speak of nothing that an instance does not say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from swarm.runtime.vitals import METRICS, NAMES

FOLDER = Path(__file__).parents[2] / "deployments" / "grafana"
LABELS = {metric.name: {*metric.labels, "instance", "job"} for metric in METRICS}


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / "swarm.json").read_text())
    return loaded


def rules() -> list[dict[str, Any]]:
    loaded = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    panels = [t["expr"] for panel in dashboard()["panels"] for t in panel["targets"]]
    return panels + [rule["expr"] for rule in rules()]


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_names_only_what_is_measured(expression: str) -> None:
    names = set(re.findall(r"\bswarm_\w+", expression))
    assert names
    assert names <= set(NAMES)
    known = set().union(*(LABELS[name] for name in names))
    grouped = re.findall(r"\bby \(([^)]*)\)", expression)
    assert {label.strip() for each in grouped for label in each.split(",")} <= known
    for selector in re.findall(r"\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)) <= known
    assert expression.count("(") == expression.count(")")


def test_only_what_grows_is_asked_for_its_rate() -> None:
    for expression in expressions():
        for name in re.findall(r"(?:rate|increase)\((swarm_\w+)", expression):
            assert name.endswith("_total")


def test_money_is_never_added_over_currencies() -> None:
    about_money = [e for e in expressions() if "swarm_cost_total" in e]
    assert about_money
    for expression in about_money:
        assert "currency" in re.findall(r"by \(([^)]*)\)", expression)[0]


def test_every_measure_is_shown() -> None:
    shown = set(re.findall(r"\bswarm_\w+", " ".join(expressions())))
    assert shown == set(NAMES)


def test_every_alert_says_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "warn", "info"}
        assert len(rule["annotations"]["description"]) > 20


def test_panels_neither_overlap_nor_share_a_number() -> None:
    taken: set[tuple[int, int]] = set()
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        taken |= cells
        assert at["x"] + at["w"] <= 24
