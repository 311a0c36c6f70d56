"""A script that plays a sensible company: it frames, plans, works, reviews and delivers.

It tells what is asked by the name of the schema in `response_format`, and where tools are offered
by what the conversation already did; it keeps no memory of orders, so that any number of them may
run at once, in any order, and be tried again.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from tests.servers.replies import Body, completion
from tests.servers.schema_instances import resolve

Schema: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """One task of the plan, in the words of the plan's schema."""

    title: str
    role: str
    brief: str
    deliverable: str
    depends_on: tuple[int, ...] = ()
    human_hours: float = 2.0


DEFAULT_PLAN = (
    PlannedTask("Build the page", "cto", "Write the page as one HTML file.", "page.html", (), 6.0),
    PlannedTask(
        "Write the post", "marketcom", "Write a post that announces it.", "post.md", (0,), 3.0
    ),
)


class CompanyScript:
    """Answers as a company that does its work well, unless told otherwise.

    Args:
        plan: What the planner plans.
        verdicts: What the reviewer says, one after the other; then it accepts everything.
        questions: What the frame asks back; asked as long as the conversation has no answer.
        answers: Documents by schema name, or functions of the request, that win over all else.
        content: The file a worker writes; gets the request.
    """

    def __init__(
        self,
        plan: Sequence[PlannedTask] = DEFAULT_PLAN,
        *,
        verdicts: Sequence[str] = (),
        questions: Sequence[str] = (),
        answers: Mapping[str, Any] | None = None,
        content: Callable[[Body], str] | None = None,
    ) -> None:
        self.plan = tuple(plan)
        self.questions = tuple(questions)
        self.answers = dict(answers or {})
        self._verdicts = list(verdicts)
        self._content = content or (lambda request: f"# Result\n\n{_last_user(request)[:400]}\n")

    def __call__(self, request: Body) -> Body:
        shape = request.get("response_format") or {}
        if shape.get("type") == "json_schema":
            named = shape["json_schema"]
            document = self._document(named.get("name", ""), named["schema"], request)
            return self._reply(request, document=document)
        if request.get("tools"):
            return self._work(request)
        return self._reply(request, text="Done: everything that was asked is in the workspace.")

    def _document(self, name: str, schema: Schema, request: Body) -> Any:
        if name in self.answers:
            made = self.answers[name]
            return made(request) if callable(made) else made
        properties = schema.get("properties", {})
        known = self._known(name, properties, request)
        return fill(schema, known)

    def _known(self, name: str, properties: Schema, request: Body) -> dict[str, Any]:
        if name == "frame" or "success_criteria" in properties:
            return {
                "goal": _last_user(request)[:200] or "Do what was ordered.",
                "success_criteria": ["The deliverable exists and does what the order asks."],
                "language": "en",
                "questions": list(self.questions),
            }
        if name == "plan" or "tasks" in properties:
            tasks = [{**asdict(t), "depends_on": list(t.depends_on)} for t in self.plan]
            return {"approach": "One task for each deliverable.", "tasks": tasks}
        if name == "review" or "verdict" in properties:
            verdict = self._verdicts.pop(0) if self._verdicts else "accept"
            reasons = [] if verdict == "accept" else ["The second criterion is not met."]
            return {"verdict": verdict, "reasons": reasons}
        if name == "delivery" or "answer" in properties:
            return {"answer": "The work is done; the files are attached.", "lessons": []}
        return {}

    def _work(self, request: Body) -> Body:
        tools = {t["function"]["name"]: t["function"] for t in request["tools"]}
        done = _called(request)
        path = _written(request) or f"result-{_digest(request)}.md"
        steps = {
            "write_file": {"path": path, "content": self._content(request)},
            "deliver": {"path": path, "summary": "The result, as briefed."},
        }
        for name, known in steps.items():
            if name in tools and name not in done:
                arguments = fill(tools[name].get("parameters") or {"type": "object"}, known)
                return self._reply(request, tool_calls=[(name, arguments)])
        return self._reply(request, text="The work is done and delivered.")

    def _reply(self, request: Body, **parts: Any) -> Body:
        sent = json.dumps([request.get("messages"), request.get("tools")], ensure_ascii=False)
        read = len(sent) // 4 + 1
        written = len(json.dumps(list(parts.values()))) // 4 + 1
        usage = {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
        }
        return completion(usage=usage, model=str(request.get("model", "company-1")), **parts)


def fill(schema: Schema, known: Any = None, *, root: Schema | None = None) -> Any:
    """Return `known` where the schema has room for it, and the least valid value elsewhere."""
    root = root if root is not None else schema
    if "$ref" in schema:
        return fill(resolve(schema["$ref"], root), known, root=root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return known if known in schema["enum"] else schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            options = [o for o in schema[key] if o.get("type") != "null"]
            if not options or (known is None and len(options) < len(schema[key])):
                return None
            return fill(options[0], known, root=root)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = next(k for k in kind if k != "null") if isinstance(kind, list) else kind
    if kind == "object":
        return _fill_object(schema, known if isinstance(known, dict) else {}, root)
    if kind == "array":
        return _fill_array(schema, known if isinstance(known, list) else [], root)
    return _fill_plain(schema, kind, known)


def _fill_object(schema: Schema, known: dict[str, Any], root: Schema) -> dict[str, Any]:
    properties: Schema = schema.get("properties", {})
    wanted = [n for n in properties if n in schema.get("required", ()) or n in known]
    return {name: fill(properties[name], known.get(name), root=root) for name in wanted}


def _fill_array(schema: Schema, known: list[Any], root: Schema) -> list[Any]:
    item = schema.get("items", {"type": "string"})
    made = [fill(item, k, root=root) for k in known[: schema.get("maxItems", len(known))]]
    while len(made) < schema.get("minItems", 0):
        made.append(fill(item, root=root))
    return made


def _fill_plain(schema: Schema, kind: str, known: Any) -> Any:
    if kind == "string":
        text = known if isinstance(known, str) else "As agreed."
        return text[: schema.get("maxLength", len(text))].ljust(schema.get("minLength", 0), ".")
    if kind in ("integer", "number"):
        return _fill_number(schema, kind, known)
    return known is True if kind == "boolean" else None


def _fill_number(schema: Schema, kind: str, known: Any) -> float:
    step = 1 if kind == "integer" else 0.001
    low = schema.get("minimum", schema.get("exclusiveMinimum", -step) + step)
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 10**9 + step) - step)
    is_known = isinstance(known, int | float) and not isinstance(known, bool) and known == known
    value = min(max(known if is_known else low, low), high)
    return int(value) if kind == "integer" else value


def _called(request: Body) -> set[str]:
    return {
        call["function"]["name"]
        for message in request["messages"]
        for call in message.get("tool_calls") or []
    }


def _last_user(request: Body) -> str:
    for message in reversed(request["messages"]):
        if message.get("role") == "user" and isinstance(message.get("content"), str):
            return str(message["content"])
    return ""


def _written(request: Body) -> str | None:
    """Return the path this worker wrote to earlier in the conversation."""
    for message in request["messages"]:
        for call in message.get("tool_calls") or []:
            if call["function"]["name"] == "write_file":
                return str(json.loads(call["function"]["arguments"])["path"])
    return None


def _digest(request: Body) -> str:
    """Name a worker's file by its brief, so that two workers never write the same one."""
    text = "".join(str(m.get("content")) for m in request["messages"])
    return f"{sum((i + 1) * b for i, b in enumerate(text[:4000].encode())) % 100_000:05d}"
