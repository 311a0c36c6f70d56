"""What a tool is, what it may return, and what it is given."""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from swarm.core.chat import ToolSpec
from swarm.core.errors import ToolError
from swarm.core.origin import Origin
from swarm.memory.base import Memory
from swarm.sandbox.base import Sandbox

if TYPE_CHECKING:
    from swarm.tools.http import WebClient
    from swarm.tools.skills import SkillShelf


class Effect(StrEnum):
    """Say what a tool does to the world; the policy decides by it."""

    READ = "read"
    WRITE_WORKSPACE = "write_workspace"
    RUN = "run"
    NETWORK = "network"
    MESSAGE = "message"
    SPEND = "spend"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Sink:
    """Mark an argument that says whom an effect reaches: `to: Annotated[str, SINK]`.

    The policy compares such values with allowlists, standing rules and the founder's own words.
    """


SINK = Sink()


class Arguments(BaseModel):
    """The arguments of a tool; unknown ones are an error the model is told about."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know of the task it serves."""

    workspace: Path
    """The order's own folder; the only place a tool may touch."""
    role: str
    task_id: str
    colleagues: tuple[str, ...] = ()
    order_id: str = ""
    customer: str | None = None
    """Whom the order serves, where it serves one customer; memory of others stays closed."""
    origin: Origin = Origin.TEAM
    """Origin of what the task writes: the team's, or what marked the task."""
    sandbox: Sandbox | None = None
    """Where commands run; None where no sandbox holds on this machine."""
    memory: Memory | None = None
    web: "WebClient | None" = None
    skills: "SkillShelf | None" = None
    kept: Path | None = None
    """Where files that commands changed are kept, by their SHA-256; None keeps none."""
    place: str = ""
    """`<node> <seq> <position>` of this call in its order."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What goes back to the model, and what the agent keeps."""

    content: str
    origin: Origin = Origin.TEAM
    """Whose words the content holds. One that is not trusted marks the task that reads it."""
    is_private: bool = False
    """True where the content holds what only this company or one customer may know."""
    is_error: bool = False
    delivered: tuple[str, ...] = ()
    """Paths, relative to the workspace, that this call declared deliverables."""


@dataclass(frozen=True, slots=True)
class Handoff:
    """Ask the agent loop to give a sub-task to a colleague and come back with the result."""

    role: str
    title: str
    brief: str
    is_question: bool = False
    """The colleague answers from what they know, in a few sentences and without tools."""


@dataclass(frozen=True, slots=True)
class AskPerson:
    """Ask the agent loop to end this attempt until a person has answered."""

    question: str
    options: tuple[str, ...] = field(default=())


EVERY_FILE = ""
"""Said instead of a path by a tool that may touch any file of the workspace."""


class Tool(Protocol):
    """One tool. It holds no state: all it needs comes with the call.

    Besides what is declared here a tool may have
    - `reads(args) -> tuple[str, ...]`: the files of the workspace whose words it may show, so that
      a file's label marks the task; `(EVERY_FILE,)` for any;
    - `writes(args) -> tuple[str, ...]`: the files it may change;
    - `destinations(args) -> tuple[str, ...]`: whom it reaches, where `SINK` does not say so;
    - `is_repeatable: bool`: an effect outside that may safely happen twice, such as reading a page.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    """What it does and when to use it, for the model."""
    effect: ClassVar[Effect]
    Args: ClassVar[type[Arguments]]

    async def run(self, args: Any, context: ToolContext) -> "ToolResult | Handoff | AskPerson":
        """Do it. `args` is an instance of `Args`.

        Raises:
            ToolError: The model can mend it; the text says how, in our own words alone. What
                somebody else said comes back as a result with its origin, and `is_error`.
        """


def destinations(tool: Tool, args: Arguments) -> tuple[str, ...]:
    """Return whom a call reaches: hosts, addresses, accounts, as the policy compares them.

    A tool may say so itself with a method `destinations(args)`; else its `Sink` arguments do.
    """
    own = getattr(tool, "destinations", None)
    if own is not None:
        return tuple(own(args))
    found: list[str] = []
    for name, field_info in type(args).model_fields.items():
        if SINK in field_info.metadata:
            value = getattr(args, name)
            values = value if isinstance(value, list | tuple) else [value]
            found += [str(item) for item in values if item is not None]
    return tuple(found)


def files_read(tool: Tool, args: Arguments) -> tuple[str, ...]:
    """Return the files whose words a call may show; any, where a tool that looks does not say."""
    own = getattr(tool, "reads", None)
    if own is not None:
        return tuple(own(args))
    # A writing tool shows what it was given, and what is outside is no file of ours.
    return (EVERY_FILE,) if tool.effect in (Effect.READ, Effect.RUN) else ()


def files_written(tool: Tool, args: Arguments) -> tuple[str, ...]:
    """Return the files that a call may change; any, where a writing tool does not say."""
    own = getattr(tool, "writes", None)
    if own is not None:
        return tuple(own(args))
    return (EVERY_FILE,) if tool.effect in (Effect.WRITE_WORKSPACE, Effect.RUN) else ()


def is_repeatable(tool: Tool) -> bool:
    """Return whether a call that may have happened can safely be made again."""
    stays_inside = tool.effect in (Effect.READ, Effect.WRITE_WORKSPACE, Effect.RUN)
    return stays_inside or bool(getattr(tool, "is_repeatable", False))


def spec(tool: Tool) -> ToolSpec:
    """Return the tool as a model sees it, with a schema that needs no `$ref`."""
    return ToolSpec(name=tool.name, description=tool.description, parameters=_parameters(tool.Args))


@cache
def _parameters(arguments: type[Arguments]) -> dict[str, Any]:
    return inline_refs(arguments.model_json_schema())


def inline_refs(schema: dict[str, Any]) -> dict[str, Any]:
    """Replace each local `$ref` by what it names, and drop titles: providers want flat schemas."""
    definitions = schema.get("$defs", {})

    def walk(node: Any, *, is_properties: bool = False) -> Any:
        if isinstance(node, list):
            return [walk(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return walk(definitions[node["$ref"].rpartition("/")[2]])
        return {
            key: walk(value, is_properties=key == "properties" and not is_properties)
            for key, value in node.items()
            if is_properties or key not in ("$defs", "title")
        }

    flat: dict[str, Any] = walk(schema)
    return flat


def check_arguments(tool: Tool, arguments: str) -> Arguments:
    """Read the JSON text a model wrote as this tool's arguments.

    Raises:
        ToolError: No JSON object, or not the right fields; the text names each fault.
    """
    try:
        return tool.Args.model_validate_json(arguments, strict=False)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(p) for p in e['loc']) or 'arguments'}: {e['msg']}"
            for e in error.errors(include_url=False, include_input=False)[:5]
        )
        raise ToolError(f"{tool.name}: {faults}") from error
