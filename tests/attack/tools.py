"""AgentDojo's tools as tools of Swarm, each with the effect that an adapter of it would declare.

Each stands for a service outside the company: a mailbox, a drive, a bank, a booking site, a chat.
The table below follows one question, asked in this order:

1. Does it reach people? It mails, messages, invites, shares, or changes who belongs: `MESSAGE`.
   Calendar tools are here although an event may have no guests: they mail whoever is a guest.
2. Does it move money, bind to a purchase, or change who holds the account and where its mail goes?
   `SPEND`: a password or an address at the bank is the money behind it.
3. Does it change something at a service, or ask an address chosen by the caller? `NETWORK`: a page
   fetched is a message to its server; a file in the drive lies outside the order's workspace.
4. Everything else only reads: `READ`. What comes back holds the words of strangers (mails, reviews,
   subjects of payments, pages, channel names), so no result is trusted, web pages least. What only
   the user's own account shows is private; offers open to everybody are not.

Nothing is `WRITE_WORKSPACE`: no tool of the suites writes into an order's workspace.
"""

from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any, ClassVar

from pydantic import create_model
from pydantic_core import to_json

from swarm.core.errors import ToolError
from swarm.core.origin import Origin
from swarm.tools.base import SINK, Arguments, Effect, Tool, ToolContext, ToolResult
from tests.attack.dojo import Call, suite
from tests.attack.worlds import Made, Worlds

PREFIX = "dojo_"
"""Keeps the suites' `list_files` and `read_file` apart from the company's own."""

_OUTWARD: dict[str, tuple[Effect, tuple[str, ...]]] = {
    "send_email": (Effect.MESSAGE, ("recipients", "cc", "bcc")),
    "share_file": (Effect.MESSAGE, ("email",)),
    "create_calendar_event": (Effect.MESSAGE, ("participants",)),
    "add_calendar_event_participants": (Effect.MESSAGE, ("participants",)),
    "reschedule_calendar_event": (Effect.MESSAGE, ()),
    "cancel_calendar_event": (Effect.MESSAGE, ()),
    "send_direct_message": (Effect.MESSAGE, ("recipient",)),
    "send_channel_message": (Effect.MESSAGE, ("channel",)),
    "add_user_to_channel": (Effect.MESSAGE, ("user", "channel")),
    "invite_user_to_slack": (Effect.MESSAGE, ("user", "user_email")),
    "remove_user_from_slack": (Effect.MESSAGE, ("user",)),
    "send_money": (Effect.SPEND, ("recipient",)),
    "schedule_transaction": (Effect.SPEND, ("recipient",)),
    "update_scheduled_transaction": (Effect.SPEND, ("recipient",)),
    "update_password": (Effect.SPEND, ()),
    "update_user_info": (Effect.SPEND, ()),
    "reserve_hotel": (Effect.SPEND, ("hotel",)),
    "reserve_restaurant": (Effect.SPEND, ("restaurant",)),
    "reserve_car_rental": (Effect.SPEND, ("company",)),
    "get_webpage": (Effect.NETWORK, ("url",)),
    "post_webpage": (Effect.NETWORK, ("url",)),
    "create_file": (Effect.NETWORK, ()),
    "append_to_file": (Effect.NETWORK, ()),
    "delete_file": (Effect.NETWORK, ()),
    "delete_email": (Effect.NETWORK, ()),
}
"""The effect of each tool that does more than read, and the arguments that say whom it reaches."""

_PUBLIC_SERVICES = frozenset({"hotels", "restaurants", "car_rental", "flights", "web"})
"""Parts of the worlds whose content anybody may read."""


class _Service:
    """One tool of a suite, acting on the world of the order it serves."""

    name: ClassVar[str]
    description: ClassVar[str]
    effect: ClassVar[Effect]
    Args: ClassVar[type[Arguments]]
    is_private: ClassVar[bool]
    origin: ClassVar[Origin]

    def __init__(self, worlds: Worlds) -> None:
        self._worlds = worlds

    def destinations(self, args: Arguments) -> tuple[str, ...]:
        """Return whom a call reaches; an optional guest or copy that is not there is nobody."""
        found: list[str] = []
        for name, declared in type(args).model_fields.items():
            value = getattr(args, name)
            if SINK in declared.metadata and value is not None:
                found += value if isinstance(value, list) else [str(value)]
        return tuple(found)

    async def run(self, args: Arguments, context: ToolContext) -> ToolResult:
        """Do it in the order's world, and write down there that it was done.

        Raises:
            ToolError: The service refuses.
        """
        case = self._worlds.of_order(context.order_id)
        call = Call(self.name.removeprefix(PREFIX), args.model_dump())
        try:
            result = case.suite.call(case.world, call)
        except RuntimeError as error:
            raise ToolError(str(error)) from error
        made = Call(call.tool, args.model_dump(mode="json"))
        is_outward = self.effect is not Effect.READ
        case.made.append(Made(context.order_id, context.role, made, is_outward))
        return ToolResult(to_json(result).decode(), origin=self.origin, is_private=self.is_private)


@cache
def _classes(suite_name: str) -> dict[str, type[_Service]]:
    functions = suite(suite_name).functions.values()
    made = (_class_of(function) for function in functions)
    return {service.name: service for service in made}


def _class_of(function: Any) -> type[_Service]:
    effect, sinks = _OUTWARD.get(function.name, (Effect.READ, ()))
    parts = {depends.env_dependency for depends in function.dependencies.values()}
    return type(
        f"Dojo_{function.name}",
        (_Service,),
        {
            "name": PREFIX + function.name,
            "description": function.description,
            "effect": effect,
            "Args": _arguments(function, sinks),
            "is_private": not parts <= _PUBLIC_SERVICES,
            "origin": Origin.WEB if "web" in parts else Origin.TOOL,
        },
    )


def _arguments(function: Any, sinks: Iterable[str]) -> type[Arguments]:
    fields: dict[str, Any] = {}
    for name, declared in function.parameters.model_fields.items():
        kind = declared.annotation
        kind = Annotated[kind, SINK] if name in sinks else kind
        fields[name] = (kind, declared)
    model: type[Arguments] = create_model(
        f"Arguments_{function.name}", __base__=Arguments, **fields
    )
    return model


def tools_of(suite_name: str, worlds: Worlds) -> dict[str, Tool]:
    """Return a suite's tools, acting on the worlds of the orders that use them."""
    return {name: service(worlds) for name, service in _classes(suite_name).items()}


def names_of(suite_name: str) -> list[str]:
    """Return the names of a suite's tools."""
    return sorted(_classes(suite_name))
