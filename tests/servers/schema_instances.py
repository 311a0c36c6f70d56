"""Random instances of the JSON schemas that companies ask with: seeded, small, quick."""

import random
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

WORDS = [
    "plan",
    "price",
    "page",
    "draft",
    "review",
    "order",
    "team",
    "week",
    "cost",
    "garden",
    "été",
    "naïve",
    "Straße",
    "日本",
    "emoji🙂",
    'quote"',
    "back\\slash",
    "line\nbreak",
    "<tag>",
    "50%",
    "null",
]
MAX_DEPTH = 12


def instance(schema: Schema | bool, rng: random.Random, *, root: Schema | None = None) -> Any:
    """Return a random instance of `schema`.

    Knows `type` (one or several), `enum`, `const`, `anyOf`, `oneOf`, `allOf`, `$ref` into `$defs`,
    `properties`, `required`, `items`, `prefixItems`, `nullable`, and the bounds of arrays, strings
    and numbers. Patterns and formats are not known.
    """
    return _instance(schema, rng, root if root is not None else schema, 0)


def _instance(schema: Any, rng: random.Random, root: Any, depth: int) -> Any:
    if not isinstance(schema, dict) or not schema:
        return rng.choice([None, True, 3, "text"])
    if depth > MAX_DEPTH:
        raise ValueError("the schema nests too deep for a random instance")
    if "$ref" in schema:
        return _instance(resolve(schema["$ref"], root), rng, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return _instance(_pick(schema[key], rng, depth), rng, root, depth + 1)
    if "allOf" in schema:
        merged: Schema = {}
        for part in schema["allOf"]:
            merged |= resolve(part["$ref"], root) if "$ref" in part else part
        return _instance(merged, rng, root, depth + 1)
    if schema.get("nullable") and rng.random() < 0.2:
        return None
    return _typed(schema, rng, root, depth)


def _typed(schema: Schema, rng: random.Random, root: Any, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = rng.choice(kind)
    match str(kind):
        case "object":
            return _object(schema, rng, root, depth)
        case "array":
            return _array(schema, rng, root, depth)
        case "string":
            return _string(schema, rng)
        case "integer":
            return _integer(schema, rng)
        case "number":
            return _number(schema, rng)
        case "boolean":
            return rng.random() < 0.5
        case "null":
            return None
        case other:
            raise ValueError(f"no instance of type {other!r}")


def resolve(ref: str, root: Any) -> Any:
    """Return the schema that `$ref` points to inside `root`."""
    node = root
    for part in ref.removeprefix("#").split("/")[1:]:
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


def _pick(options: list[Any], rng: random.Random, depth: int) -> Any:
    """Choose a branch; deep down a flat one, so that recursive schemas end."""
    flat = [o for o in options if isinstance(o, dict) and o.get("type") not in ("object", "array")]
    flat = [o for o in flat if "$ref" not in o]
    return rng.choice(flat if depth > 4 and flat else options)


def _object(schema: Schema, rng: random.Random, root: Any, depth: int) -> dict[str, Any]:
    required = set(schema.get("required", ()))
    properties: Schema = schema.get("properties", {})
    kept = (n for n in properties if n in required or (depth <= 4 and rng.random() < 0.7))
    made = {name: _instance(properties[name], rng, root, depth + 1) for name in kept}
    for name in required - properties.keys():
        made[name] = _instance(schema.get("additionalProperties", True), rng, root, depth + 1)
    return made


def _array(schema: Schema, rng: random.Random, root: Any, depth: int) -> list[Any]:
    made = [_instance(s, rng, root, depth + 1) for s in schema.get("prefixItems", [])]
    low = schema.get("minItems", 0)
    high = min(schema.get("maxItems", low + 4), low + 4)
    size = low if depth > 4 else rng.randint(low, max(low, high))
    is_unique = schema.get("uniqueItems", False)
    for _ in range(20 * size):
        if len(made) >= size:
            break
        item = _instance(schema.get("items", True), rng, root, depth + 1)
        if not is_unique or item not in made:
            made.append(item)
    return made


def _string(schema: Schema, rng: random.Random) -> str:
    low = schema.get("minLength", 0)
    high = schema.get("maxLength", max(low, 80))
    text = " ".join(rng.choices(WORDS, k=rng.randint(1, 12)))
    while len(text) < low:
        text += " " + rng.choice(WORDS)
    return text[: max(low, rng.randint(low, high) if high < len(text) else high)]


def _integer(schema: Schema, rng: random.Random) -> int:
    low, high = _bounds(schema, step=1)
    factor = schema.get("multipleOf", 1)
    return int(rng.randint(-(-int(low) // factor), int(high) // factor) * factor)


def _number(schema: Schema, rng: random.Random) -> float:
    low, high = _bounds(schema, step=0.001)
    return min(max(round(rng.uniform(low, high), 3), low), high)


def _bounds(schema: Schema, *, step: float) -> tuple[float, float]:
    low = schema.get("minimum")
    if "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + step
    high = schema.get("maximum")
    if "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - step
    if low is None:
        low = min(0, high - 100) if high is not None else 0
    return low, high if high is not None else low + 100
