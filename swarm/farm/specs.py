"""Write on a container what it was made from, so that another can be made like it."""

import json
from dataclasses import asdict
from decimal import Decimal

from swarm.farm.base import InstanceSpec

SPEC = "spec"
"""The label that holds it."""


def spec_text(spec: InstanceSpec, secret_names: list[str]) -> str:
    """Write what a seat was made from, without any secret."""
    values = asdict(spec) | {"environment": dict(spec.environment), "secrets": secret_names}
    return json.dumps(values, sort_keys=True, default=str)


def read_spec(text: str) -> tuple[InstanceSpec, list[str]]:
    """Read what `spec_text` wrote."""
    values = json.loads(text)
    names = list(values.pop("secrets"))
    values["cpus"] = Decimal(values["cpus"])
    if values["budget_month"] is not None:
        values["budget_month"] = Decimal(values["budget_month"])
    return InstanceSpec(**values), names
