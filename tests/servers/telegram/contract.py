"""The published contract: checks calls, results and updates against the Bot API as data.

The data is one JSON document of methods and types (see `DEFAULT_PATH`). Where it is absent nothing
is checked, and a fake that runs without it says so by `TelegramServer.has_contract`.
"""

import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

from tests.servers.telegram.calls import Call

Problems: TypeAlias = list[str]
DEFAULT_PATH = (
    Path(__file__).parents[3].parent / "shared" / "data" / "telegram-bot-api" / "api.json"
)
ARRAY = "Array of "
SCALARS = ("Integer", "Float", "Boolean", "String")
# The constant of a discriminator stands in its description.
CONSTANT = re.compile(r"(?:always|must be) [\"“*]?(\w+)[\"”*]?$")
MAX_DEPTH = 24


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter of a method, or one field of a type."""

    name: str
    types: tuple[str, ...]
    is_required: bool
    constant: str | None
    description: str


class Contract:
    """The Bot API as published: methods with their parameters, types with their fields."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.version: str = document["version"]
        self._types = document["types"]
        self._methods = document["methods"]
        self._fields: dict[tuple[str, str], dict[str, Field]] = {}

    @classmethod
    @functools.cache
    def load(cls, path: Path = DEFAULT_PATH) -> Self | None:
        """Read the contract, once; None where there is no such file."""
        if not path.is_file():
            return None
        return cls(json.loads(path.read_text(encoding="utf-8")))

    @property
    def method_names(self) -> list[str]:
        """The names of all methods."""
        return list(self._methods)

    def call_problems(self, call: Call) -> Problems:
        """Tell what of a call the contract doesn't know or doesn't allow."""
        method = self._methods.get(call.method)
        if method is None:
            return [f"{call.method}: no such method"]
        fields = self._of("method", call.method)
        found = []
        for name, value in call.parameters.items():
            if name not in fields:
                found.append(f"{call.method}: no parameter {name!r}")
            else:
                found += self._parameter(value, fields[name], f"{call.method}.{name}")
        attached = set(re.findall(r"attach://([^\"\\]+)", json.dumps(call.parameters)))
        for name in call.uploads:
            is_file = name in fields and "InputFile" in fields[name].types
            if not is_file and name not in attached:
                found.append(f"{call.method}: no file parameter {name!r}")
        for name in attached - call.uploads.keys():
            found.append(f"{call.method}: attach://{name} has no file")
        given = call.parameters.keys() | call.uploads.keys()
        missing = [f.name for f in fields.values() if f.is_required and f.name not in given]
        return found + [f"{call.method}: needs {name!r}" for name in missing]

    def result_problems(self, method: str, result: Any) -> Problems:
        """Tell where a result is not what the method returns."""
        return self._check(result, tuple(self._methods[method]["returns"]), method, 0)

    def problems(self, type_name: str, value: Any) -> Problems:
        """Tell where a value is no instance of a type."""
        return self._check(value, (type_name,), type_name, 0)

    def result_type(self, method: str) -> str:
        """Return the name of the first type that a method returns."""
        returned: str = self._methods[method]["returns"][0]
        return returned

    def smallest_result(self, method: str) -> Any:
        """Return the smallest result a method may give."""
        return self._smallest(self._methods[method]["returns"][0], 0, "")

    def smallest_call(self, method: str) -> Call:
        """Return a call of a method with the parameters it must have and no others."""
        needed = [f for f in self._of("method", method).values() if f.is_required]
        values = {f.name: self._smallest(f.types[0], 0, f.description) for f in needed}
        return Call(method, values)

    def _of(self, kind: str, name: str) -> dict[str, Field]:
        key = (kind, name)
        if key not in self._fields:
            source = self._methods if kind == "method" else self._types
            made = (_field(f) for f in source[name].get("fields", ()))
            self._fields[key] = {f.name: f for f in made}
        return self._fields[key]

    def _parameter(self, value: Any, spec: Field, where: str) -> Problems:
        types = spec.types
        if isinstance(value, str) and "String" not in types and "InputFile" not in types:
            decoded = _decoded(value, types)
            if decoded is _NOTHING:
                return [f"{where}: {_short(value)} is no {' or '.join(types)}"]
            value = decoded
        return self._check(value, types, where, 0)

    def _check(self, value: Any, types: tuple[str, ...], where: str, depth: int) -> Problems:
        candidates = list(dict.fromkeys(self._leaves(types)))
        if isinstance(value, list):
            inner = tuple(t.removeprefix(ARRAY) for t in candidates if t.startswith(ARRAY))
            if not inner:
                return [f"{where}: an array is no {' or '.join(types)}"]
            checked = (
                self._check(v, inner, f"{where}[{i}]", depth + 1) for i, v in enumerate(value)
            )
            return [problem for problems in checked for problem in problems]
        if isinstance(value, dict):
            objects = [t for t in candidates if t in self._types and t not in SCALARS]
            tried = [self._object(value, t, where, depth) for t in objects]
            if tried:
                return min(tried, key=len)
        elif any(_is_scalar(value, t) for t in candidates):
            return []
        return [f"{where}: {_short(value)} is no {' or '.join(types)}"]

    def _leaves(self, types: Iterable[str]) -> Iterable[str]:
        for name in types:
            subtypes = self._types.get(name, {}).get("subtypes")
            if subtypes:
                yield from self._leaves(subtypes)
            else:
                yield name

    def _object(self, value: dict[str, Any], name: str, where: str, depth: int) -> Problems:
        if depth > MAX_DEPTH:
            return [f"{where}: nests too deep"]
        fields = self._of("type", name)
        found = [f"{where}: {name} has no field {key!r}" for key in value if key not in fields]
        for spec in fields.values():
            at = f"{where}.{spec.name}"
            if spec.name not in value:
                if spec.is_required:
                    found.append(f"{where}: {name} needs {spec.name!r}")
            elif spec.constant is not None and value[spec.name] != spec.constant:
                found.append(f"{at}: {_short(value[spec.name])} is not {spec.constant!r}")
            else:
                found += self._check(value[spec.name], spec.types, at, depth + 1)
        return found

    def _smallest(self, name: str, depth: int, description: str) -> Any:
        if name.startswith(ARRAY):
            return []
        if name in SCALARS:
            quoted = re.search(r"[\"“](\w+)[\"”]", description)
            word = quoted.group(1) if quoted else "x"
            return {"Integer": 1, "Float": 1.0, "Boolean": True, "String": word}[name]
        leaf = next(iter(self._leaves((name,))))
        if leaf != name:
            return self._smallest(leaf, depth, description)
        needed = (f for f in self._of("type", name).values() if f.is_required)
        return {
            f.name: f.constant or self._smallest(f.types[0], depth + 1, f.description)
            for f in needed
        }


_NOTHING = object()


def _field(raw: Mapping[str, Any]) -> Field:
    constant = CONSTANT.search(raw["description"])
    is_string = raw["types"] == ["String"]
    return Field(
        name=raw["name"],
        types=tuple(raw["types"]),
        is_required=raw["required"],
        constant=constant.group(1) if constant and is_string else None,
        description=raw["description"],
    )


def _is_scalar(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "Boolean"
    if isinstance(value, int):
        return name in ("Integer", "Float")
    if isinstance(value, float):
        return name == "Float"
    return isinstance(value, str) and name in ("String", "InputFile")


def _decoded(text: str, types: tuple[str, ...]) -> Any:
    """Read a form's text as one of the types, or return `_NOTHING`."""
    if "Integer" in types:
        return int(text) if re.fullmatch(r"-?\d+", text) else _NOTHING
    if "Boolean" in types:
        return text.lower() in ("true", "1") if text.lower() in BOOLEANS else _NOTHING
    try:
        return json.loads(text)
    except ValueError:
        return _NOTHING


BOOLEANS = ("true", "false", "1", "0")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
