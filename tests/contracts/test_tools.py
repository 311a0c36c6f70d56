"""What every tool of the registry does, whatever it is for."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarm.core.errors import ToolError
from swarm.tools.base import (
    AskPerson,
    Effect,
    Handoff,
    Tool,
    ToolContext,
    ToolResult,
    check_arguments,
    spec,
)
from swarm.tools.registry import TOOLS


@pytest.fixture(params=TOOLS.names())
def tool(request: pytest.FixtureRequest) -> Tool:
    made: Tool = TOOLS.load(request.param)()
    return made


def test_a_tool_is_registered_under_its_own_name(tool: Tool) -> None:
    assert type(tool) is TOOLS.load(tool.name)
    # What every provider accepts as a function's name.
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,63}", tool.name)
    assert isinstance(tool.effect, Effect)
    assert len(tool.description) > 40


def test_a_tool_shows_a_closed_flat_schema(tool: Tool) -> None:
    shown = spec(tool)
    assert shown.parameters["type"] == "object"
    assert shown.parameters["additionalProperties"] is False
    assert "$ref" not in json.dumps(shown.parameters)


@pytest.mark.parametrize("arguments", ["", "[]", "null", "{", '"x"', '{"no_such_field": 1}'])
def test_arguments_that_do_not_fit_are_the_model_s_to_mend(tool: Tool, arguments: str) -> None:
    with pytest.raises(ToolError, match=tool.name):
        check_arguments(tool, arguments)


texts = st.text(min_size=1, max_size=20) | st.sampled_from(["ceo", "cto", "a/b.md", "../x"])


def instances(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return values that fit the part of JSON schema that the tools use."""
    if "anyOf" in schema:
        return st.one_of([instances(option) for option in schema["anyOf"]])
    kinds: dict[str, Any] = {
        "string": lambda: texts,
        "integer": lambda: st.integers(schema.get("minimum", 0), schema.get("maximum", 1000)),
        "boolean": st.booleans,
        "null": st.none,
        "array": lambda: st.lists(
            instances(schema["items"]),
            min_size=schema.get("minItems", 0),
            max_size=schema["maxItems"],
        ),
        "object": lambda: st.fixed_dictionaries(
            {name: instances(schema["properties"][name]) for name in schema.get("required", [])},
            optional={
                name: instances(part)
                for name, part in schema["properties"].items()
                if name not in schema.get("required", [])
            },
        ),
    }
    strategy: st.SearchStrategy[Any] = kinds[schema["type"]]()
    return strategy


@given(data=st.data())
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_fits_the_schema_gives_a_result_or_words_to_act_on(
    tool: Tool, tmp_path: Path, data: st.DataObject
) -> None:
    arguments = check_arguments(tool, json.dumps(data.draw(instances(spec(tool).parameters))))
    context = ToolContext(tmp_path / "ws", role="cto", task_id="t1", colleagues=("ceo", "cto"))
    words = ""
    try:
        result: Any = asyncio.run(tool.run(arguments, context))
    except ToolError as error:
        result, words = None, str(error)
    assert words or isinstance(result, ToolResult | Handoff | AskPerson)
    assert set(tmp_path.iterdir()) <= {tmp_path / "ws"}


@pytest.mark.parametrize("name", TOOLS.names())
def test_a_tool_holds_no_state(name: str) -> None:
    assert not vars(TOOLS.load(name)())
