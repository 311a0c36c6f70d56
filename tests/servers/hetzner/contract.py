"""The published contract: an OpenAPI document beside the repository, where it is at hand."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft4Validator

from tests.servers.cloud import Answer, Call, Document

FILE: Final = (
    Path(__file__).parents[3].parent / "shared" / "data" / "hcloud-openapi" / "hcloud.json"
)
LIMIT: Final = 200


@cache
def document() -> Document | None:
    """Return the contract; None where it is not at hand."""
    if not FILE.exists():
        return None
    loaded: Document = json.loads(FILE.read_text())
    return _plain(loaded)  # type: ignore[no-any-return]


def _plain(node: Any) -> Any:
    """Turn OpenAPI's `nullable` into what JSON schema says for it."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: _plain(each) for key, each in node.items() if key not in ("nullable", "example")}
    # A property may itself be called `nullable`; only the flag is a boolean.
    if node.get("nullable") is True:
        return {"anyOf": [made, {"enum": [None]}]}
    return made


@cache
def _validator(pointer: str) -> Draft4Validator:
    whole = document()
    assert whole is not None
    return Draft4Validator(
        {"$ref": pointer, **{"components": whole["components"], "paths": whole["paths"]}}
    )


@cache
def _operation(method: str, path: str) -> tuple[str, Document] | None:
    whole = document()
    assert whole is not None
    for pattern, verbs in whole["paths"].items():
        # `/servers/actions` must not pass for `/servers/{id}`; ids are numbers.
        shape = re.sub(r"\\\{\w+\\\}", r"\\d+", re.escape(pattern))
        if re.fullmatch(shape, path) and method.lower() in verbs:
            return pattern, verbs[method.lower()]
    return None


def faults_of_request(call: Call, path: str) -> list[str]:
    """Return what is wrong with a request; `path` is without the version."""
    if document() is None:
        return []
    found = _operation(call.method, path)
    if found is None:
        return [f"{call.method} {path}: no such operation"]
    pattern, operation = found
    known = {each["name"]: each for each in operation.get("parameters", [])}
    wrong = [
        f"{call.method} {path}: no parameter {name!r}" for name in call.query if name not in known
    ]
    if call.body is not None and "requestBody" in operation:
        pointer = _pointer(pattern, call.method, "requestBody")
        wrong += _errors(pointer, call.body, f"{call.method} {path}")
    if call.body is None and operation.get("requestBody", {}).get("required"):
        wrong.append(f"{call.method} {path}: a document is required")
    return wrong


def faults_of_answer(call: Call, path: str, answer: Answer) -> list[str]:
    """Return what is wrong with an answer."""
    if document() is None:
        return []
    found = _operation(call.method, path)
    if found is None:
        return []
    pattern, operation = found
    code = str(answer.status)
    if code not in operation["responses"]:
        code = f"{code[0]}xx"
    if code not in operation["responses"]:
        return [f"{call.method} {path}: no answer {answer.status}"]
    if "content" not in operation["responses"][code]:
        return [] if answer.body is None else [f"{call.method} {path}: {code} has no document"]
    pointer = _pointer(pattern, call.method, f"responses/{code}")
    return _errors(pointer, answer.body, f"answer to {call.method} {path}")


def _pointer(pattern: str, method: str, part: str) -> str:
    escaped = pattern.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")
    return f"#/paths/{escaped}/{method.lower()}/{part}/content/application~1json/schema"


def _errors(pointer: str, body: Any, where: str) -> list[str]:
    return [
        f"{where}: {'/'.join(map(str, error.absolute_path))}: {error.message[:LIMIT]}"
        for error in _validator(pointer).iter_errors(body)
    ]
