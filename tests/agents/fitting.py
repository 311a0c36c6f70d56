"""Documents that fit a schema, as a strategy: the parts of JSON Schema that the company asks with."""

from typing import Any

from hypothesis import strategies as st

from swarm.core.chat import JsonSchema


def fitting(schema: JsonSchema) -> st.SearchStrategy[Any]:
    """Return documents that fit `schema`, its bounds included.

    Raises:
        NotImplementedError: The schema says something that is not known here.
    """
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of(*(fitting(option) for option in schema["anyOf"]))
    match schema.get("type"):
        case "object":
            return _object(schema)
        case "array":
            least, most = schema.get("minItems", 0), schema.get("maxItems", 6)
            return st.lists(fitting(schema["items"]), min_size=least, max_size=most)
        case "string":
            least, most = schema.get("minLength", 0), schema.get("maxLength")
            return st.text(min_size=least, max_size=most if most is None else min(most, 300))
        case "integer":
            return st.integers(schema.get("minimum"), schema.get("maximum"))
        case "number":
            low, high = schema.get("minimum"), schema.get("maximum")
            return st.floats(low, high, allow_nan=False) | st.integers(
                None if low is None else int(low) + 1, high
            )
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case other:
            raise NotImplementedError(f"no documents of type {other!r}")


def _object(schema: JsonSchema) -> st.SearchStrategy[Any]:
    parts = {name: fitting(part) for name, part in schema["properties"].items()}
    required = set(schema.get("required", ()))
    return st.fixed_dictionaries(
        {name: part for name, part in parts.items() if name in required},
        optional={name: part for name, part in parts.items() if name not in required},
    )
