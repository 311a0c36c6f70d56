"""The servers that other tests believe in do what they say."""

import http.client
import json
import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.company import CompanyScript, PlannedTask, fill
from tests.servers.provider import SchemaProvider, SchemaScript, ScriptedProvider, in_process
from tests.servers.replies import Body, Reply, completion
from tests.servers.schema_instances import instance

SCHEMAS: list[Body] = [
    {"type": "string", "minLength": 3, "maxLength": 12},
    {"type": "integer", "minimum": -5, "maximum": 5, "multipleOf": 3},
    {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5},
    {"type": ["boolean", "null"]},
    {"enum": ["accept", "rework", None]},
    {"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 2}, {"type": "null"}]},
    {
        "type": "array",
        "items": {"type": "integer", "minimum": 0, "maximum": 9},
        "minItems": 2,
        "maxItems": 4,
        "uniqueItems": True,
    },
    {
        "type": "object",
        "properties": {
            "kind": {"const": "node"},
            "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
            "tasks": {"type": "array", "items": {"$ref": "#/$defs/task"}, "minItems": 1},
        },
        "required": ["kind", "next", "tasks"],
        "additionalProperties": False,
        "$defs": {
            "task": {
                "type": "object",
                "properties": {
                    "title": {"type": "string", "maxLength": 20},
                    "hours": {"type": "number", "minimum": 0},
                    "after": {"type": "array", "items": {"type": "integer"}},
                },
                "required": ["title", "hours"],
            }
        },
    },
]


KEYS = st.sampled_from(["kind", "next", "tasks", "title", "hours", "after", "other"])


def is_valid(value: Any, schema: Body) -> bool:
    import jsonschema

    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


@pytest.mark.parametrize("schema", SCHEMAS)
@given(seed=st.integers(0, 10**6))
def test_a_random_instance_fits_its_schema(schema: Body, seed: int) -> None:
    assert is_valid(instance(schema, random.Random(seed)), schema)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-20, 20) | st.floats(-2, 2) | st.text(max_size=15),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)
FILLABLE = [s for s in SCHEMAS if not {"multipleOf", "uniqueItems"} & s.keys()]


@pytest.mark.parametrize("schema", FILLABLE)
@given(known=JSON)
def test_a_filled_document_fits_its_schema_whatever_is_known(schema: Body, known: Any) -> None:
    assert is_valid(fill(schema, known), schema)


def post(url: str, body: Body) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(url.split("/")[2], timeout=10)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_a_provider_in_a_thread_answers_counts_and_fails_as_told() -> None:
    faults = {2: Reply({"error": {"message": "busy"}}, status=503, headers={"Retry-After": "1"})}
    with ScriptedProvider(lambda _: completion(text="hi"), faults=faults).in_thread() as provider:
        assert post(provider.url, {"messages": []})[1]["choices"][0]["message"]["content"] == "hi"
        assert post(provider.url, {"messages": []}) == (503, {"error": {"message": "busy"}})
        assert post(provider.url, {"messages": [], "n": 1})[0] == 200
    assert [b.get("n") for b in provider.bodies] == [None, None, 1]
    with pytest.raises(ConnectionRefusedError):
        post(provider.url, {})


def test_a_provider_waits_as_long_as_it_is_told() -> None:
    with ScriptedProvider(delay_s=0.05).in_thread() as provider:
        started = time.monotonic()
        post(provider.url, {"messages": []})
        assert time.monotonic() - started >= 0.05


def test_a_provider_in_a_process_answers_any_schema() -> None:
    shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMAS[-1]}}
    body = {"messages": [{"role": "user", "content": "x"}], "response_format": shape}
    with in_process("schema", seed=5) as url:
        status, got = post(url, body)
    assert status == 200
    assert is_valid(json.loads(got["choices"][0]["message"]["content"]), SCHEMAS[-1])


@given(seed=st.integers(0, 10**6), limit=st.integers(1, 5000))
def test_random_answers_report_a_plausible_usage(seed: int, limit: int) -> None:
    request = {"messages": [{"role": "user", "content": "été"}], "max_tokens": limit}
    usage = SchemaScript(seed)(request)["usage"]
    assert 0 < usage["prompt_tokens"] <= len(json.dumps(request).encode())
    assert 0 < usage["completion_tokens"] <= limit
    assert usage["prompt_tokens_details"]["cached_tokens"] <= usage["prompt_tokens"]


def test_two_schema_providers_with_one_seed_say_the_same() -> None:
    request = {"messages": [], "tools": [{"type": "function", "function": {"name": "go"}}]}
    one, two = (SchemaProvider(9).script for _ in range(2))
    assert [one(request) for _ in range(5)] == [two(request) for _ in range(5)]


def asked(name: str, properties: Body, **more: Any) -> Body:
    schema = {
        "type": "object",
        "properties": {**properties, "unheard_of": {"type": "integer", "minimum": 4}},
        "required": [*properties, "unheard_of"],
        "additionalProperties": False,
    }
    shape = {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}
    return {"messages": [{"role": "user", "content": "Sell it."}], "response_format": shape, **more}


def document(body: Body) -> Any:
    return json.loads(body["choices"][0]["message"]["content"])


STRINGS = {"type": "array", "items": {"type": "string"}}
TASK = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "role": {"enum": ["cto", "marketcom"]},
        "depends_on": {"type": "array", "items": {"type": "integer"}},
        "human_hours": {"type": "number"},
        "new_field": {"type": "boolean"},
    },
    "required": ["title", "role", "depends_on", "human_hours", "new_field"],
}


def test_a_company_frames_plans_reviews_and_delivers() -> None:
    plan = [
        PlannedTask("One", "cto", "Do.", "a"),
        PlannedTask("Two", "marketcom", "Say.", "b", (0,)),
    ]
    script = CompanyScript(plan, verdicts=["rework"], questions=["Which?"])
    frame = document(script(asked("frame", {"goal": {"type": "string"}, "questions": STRINGS})))
    assert frame == {"goal": "Sell it.", "questions": ["Which?"], "unheard_of": 4}
    planned = document(script(asked("plan", {"tasks": {"type": "array", "items": TASK}})))
    assert [(t["title"], t["role"], t["depends_on"]) for t in planned["tasks"]] == [
        ("One", "cto", []),
        ("Two", "marketcom", [0]),
    ]
    review = asked("review", {"verdict": {"enum": ["accept", "rework"]}, "reasons": STRINGS})
    assert [document(script(review))["verdict"] for _ in range(3)] == ["rework", "accept", "accept"]
    delivery = document(script(asked("delivery", {"answer": {"type": "string"}})))
    assert delivery["answer"]


def test_a_worker_writes_then_delivers_then_says_so() -> None:
    tools = [
        {
            "type": "function",
            "function": {
                "name": name,
                "parameters": {
                    "type": "object",
                    "properties": {p: {"type": "string"} for p in parameters},
                    "required": list(parameters),
                },
            },
        }
        for name, parameters in (
            ("write_file", ("path", "content")),
            ("deliver", ("path", "summary")),
        )
    ]
    script = CompanyScript()
    messages: list[Body] = [{"role": "user", "content": "Write the page."}]
    called = []
    for _ in range(3):
        message = script({"messages": messages, "tools": tools})["choices"][0]["message"]
        messages.append(message)
        for call in message.get("tool_calls", []):
            called.append((call["function"]["name"], json.loads(call["function"]["arguments"])))
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": "done"})
    assert [name for name, _ in called] == ["write_file", "deliver"]
    assert called[0][1]["path"] == called[1][1]["path"]
    assert messages[-1]["content"]
