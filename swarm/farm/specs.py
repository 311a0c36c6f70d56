"""Write on a container what it was made from, so that another can be made like it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal

from swarm.farm.base import InstanceSpec

SPEC = "spec"
"""The label that holds it."""
LISTEN = "SWARM_MONITORING__LISTEN"


def heard_at(port: int | None, environment: Mapping[str, str]) -> dict[str, str]:
    """Return an instance's variables, with the one that makes a port worth reaching.

    Nothing listens unless it is told to; where no setting names the port, whoever watches is
    answered there.
    """
    is_taken = any(
        value.endswith(f":{port}") or value == str(port) for value in environment.values()
    )
    told = {} if port is None or is_taken else {LISTEN: f"0.0.0.0:{port}"}
    return told | dict(environment)


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
