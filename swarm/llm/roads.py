"""Requests that litellm leaves as they are: it shows the road once, later calls go it alone.

For a provider that speaks chat completions litellm finds, on every call, the same address, the
same headers and the same names of the parameters, which takes most of a call's processor time.
So the first request of each kind goes through it, and what it put on the wire is compared with
what was asked. Where the two differ in anything but names and left-out parameters, all requests
of that kind go on through litellm.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from swarm.llm.wire import Sent

Document: TypeAlias = dict[str, Any]

MAX_ROADS = 256
"""Kinds of requests that are remembered; beyond it, all are learnt again."""

PROVIDER = "openai/"
"""Where litellm changes nothing but names; what it does to other providers' messages depends on
what stands in them, so that one request says nothing of the next."""

_RENAMED = {"max_completion_tokens": "max_tokens"}
_PLAIN_MESSAGE = frozenset(("role", "content", "tool_calls", "tool_call_id", "name"))
_NOT_SENT = frozenset(("model", "messages", "api_base", "api_key", "timeout"))


@dataclass(frozen=True, slots=True)
class Road:
    """Where requests of one kind go, and what their parameters are called there."""

    url: str
    headers: Mapping[str, str]
    model: str
    """The model's name as the server knows it."""
    names: tuple[tuple[str, str], ...]
    """The parameters that are sent: their name on the wire, and ours."""

    def request(self, arguments: Document) -> Sent:
        """Return the request for a call's arguments."""
        body = {"model": self.model, "messages": _told(arguments["messages"])}
        body |= {sent: arguments[ours] for sent, ours in self.names}
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return Sent("POST", self.url, self.headers, text.encode())


class Roads:
    """The roads learnt so far, by the kind of request."""

    def __init__(self) -> None:
        self._known: dict[str, Road | None] = {}

    def find(self, arguments: Document) -> tuple[str, Road | None]:
        """Return the kind of a request and its road; an empty kind is never learnt."""
        messages = arguments["messages"]
        if not arguments["model"].startswith(PROVIDER) or not _is_plain(messages):
            return "", None
        fixed = {k: v for k, v in arguments.items() if k not in ("messages", "max_tokens")}
        # Some models' system messages are turned into a user's, for example.
        forms = {f"{m['role']}:{','.join(k for k in m if m[k] is not None)}" for m in messages}
        kind = json.dumps([fixed, sorted(forms)], default=str)
        return kind, self._known.get(kind)

    def learn(self, kind: str, arguments: Document, sent: Sent | None) -> None:
        """Note what litellm made of a request that was answered."""
        if not kind or sent is None or kind in self._known:
            return
        if len(self._known) >= MAX_ROADS:
            self._known.clear()
        self._known[kind] = _compared(arguments, sent)


def _compared(arguments: Document, sent: Sent) -> Road | None:
    """Return the road if the wire shows the arguments, and nothing that we did not write."""
    try:
        body: Document = json.loads(sent.content)
    except ValueError:
        return None
    if body.pop("messages", None) != _told(arguments["messages"]):
        return None
    model = body.pop("model", None)
    names = tuple((name, _RENAMED.get(name, name)) for name in body)
    is_ours = all(
        ours in arguments and ours not in _NOT_SENT and arguments[ours] == body[name]
        for name, ours in names
    )
    if not isinstance(model, str) or not is_ours or sent.method != "POST":
        return None
    return Road(sent.url, sent.headers, model, names)


def _told(messages: list[Document]) -> list[Document]:
    """Leave out what has no value, as litellm does: some servers refuse a null."""
    return [{k: v for k, v in message.items() if v is not None} for message in messages]


def _is_plain(messages: list[Document]) -> bool:
    """Say whether messages hold texts and tool calls alone, which litellm never touches."""
    return all(
        _PLAIN_MESSAGE.issuperset(message)
        and message.get("role")
        and isinstance(message.get("content"), str | None)
        for message in messages
    )
