"""The fake Cloud API refuses what Meta refuses, and keeps its state."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.servers.whatsapp import ContractViolation, Person, WhatsAppServer

Document = dict[str, Any]


@pytest.fixture
async def server() -> AsyncIterator[WhatsAppServer]:
    async with WhatsAppServer(is_strict=False) as found:
        yield found


@pytest.fixture
def ada(server: WhatsAppServer) -> Person:
    person = server.person("Ada")
    server.windows[person.id] = server.now()
    return person


async def post(server: WhatsAppServer, document: Document, **more: Any) -> httpx.Response:
    token = more.pop("token", server.token)
    phone = more.pop("phone", server.phone_id)
    async with httpx.AsyncClient(trust_env=False) as client:
        headers = {"Authorization": f"Bearer {token}"}
        return await client.post(
            f"{server.base_url}/{phone}/messages", json=document, headers=headers
        )


def text(to: str, body: Any, **more: Any) -> Document:
    base = {"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": body}}
    return base | more


def buttons(to: str, *titles: str, body: str = "x", **reply: Any) -> Document:
    found = [
        {"type": "reply", "reply": {"id": f"t{n}", "title": title} | reply}
        for n, title in enumerate(titles)
    ]
    interactive = {"type": "button", "body": {"text": body}, "action": {"buttons": found}}
    return {
        "messaging_product": "whatsapp",
        "to": to,
        "type": "interactive",
        "interactive": interactive,
    }


def rows(to: str, count: int, *, button: str = "Choose", **row: Any) -> Document:
    found = [{"id": f"t{n}", "title": f"Row {n}"} | row for n in range(count)]
    action = {"button": button, "sections": [{"title": "All", "rows": found}]}
    interactive = {"type": "list", "body": {"text": "x"}, "action": action}
    return {
        "messaging_product": "whatsapp",
        "to": to,
        "type": "interactive",
        "interactive": interactive,
    }


REFUSED: list[tuple[str, Any, int]] = [
    ("an empty text", lambda to: text(to, ""), 100),
    ("a text that is too long", lambda to: text(to, "x" * 4097), 100),
    ("no product", lambda to: text(to, "x", messaging_product=""), 100),
    ("no content", lambda to: text(to, "x", type="document"), 131008),
    ("a type that is none", lambda to: text(to, "x", type="tune", tune={"a": 1}), 131051),
    ("nobody", lambda _: text("", "x"), 131008),
    ("a stranger", lambda _: text("4915100000", "x"), 131030),
    ("four buttons", lambda to: buttons(to, "a", "b", "c", "d"), 100),
    ("no buttons", lambda to: buttons(to), 100),
    ("a long title", lambda to: buttons(to, "x" * 21), 100),
    ("titles alike", lambda to: buttons(to, "a", "a"), 100),
    ("a long id", lambda to: buttons(to, "a", id="x" * 257), 100),
    ("a long body", lambda to: buttons(to, "a", body="x" * 1025), 100),
    ("eleven rows", lambda to: rows(to, 11), 100),
    ("no rows", lambda to: rows(to, 0), 100),
    ("a long row", lambda to: rows(to, 1, title="x" * 25), 100),
    ("a long description", lambda to: rows(to, 1, description="x" * 73), 100),
    ("rows alike", lambda to: rows(to, 2, id="same"), 100),
    ("a long name of the list", lambda to: rows(to, 1, button="x" * 21), 100),
]


@pytest.mark.parametrize(("make", "code"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
async def test_what_meta_refuses_is_refused(
    server: WhatsAppServer, ada: Person, make: Any, code: int
) -> None:
    answer = await post(server, make(ada.id))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert ada.chat.sent == []


@pytest.mark.parametrize(
    "make",
    [
        lambda to: text(to, "x" * 4096),
        lambda to: buttons(to, "x" * 20, "b", "c", body="x" * 1024),
        lambda to: rows(to, 10, description="x" * 72),
    ],
)
async def test_what_is_at_its_limits_is_taken(
    server: WhatsAppServer, ada: Person, make: Any
) -> None:
    answer = await post(server, make(ada.id))
    assert answer.json()["messages"][0]["id"] == ada.chat.last.id


async def test_tokens_and_numbers_are_looked_at(server: WhatsAppServer, ada: Person) -> None:
    wrong = await post(server, text(ada.id, "x"), token="other")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, 190)
    other = await post(server, text(ada.id, "x"), phone="1")
    assert other.json()["error"]["code"] == 100


async def test_a_template_must_be_approved_and_filled(server: WhatsAppServer, ada: Person) -> None:
    server.templates["decision_needed", "en"] = 1

    def template(name: str, *words: str) -> Document:
        parameters = [{"type": "text", "text": word} for word in words]
        components = [{"type": "body", "parameters": parameters}] if words else []
        content = {"name": name, "language": {"code": "en"}, "components": components}
        return text(ada.id, "x") | {"type": "template", "template": content, "text": None}

    codes = [
        (await post(server, template(*given))).json()["error"]["code"]
        for given in (("other", "x"), ("decision_needed",), ("decision_needed", "a\nb"))
    ]
    assert codes == [132001, 132000, 132018]
    assert (await post(server, template("decision_needed", "a plan"))).status_code == 200


async def test_a_text_over_the_window_is_taken_and_reported_as_failed(
    server: WhatsAppServer, ada: Person
) -> None:
    server.advance(hours=24)
    answer = await post(server, text(ada.id, "x"))
    assert answer.status_code == 200
    assert ada.chat.sent == []
    assert b"131047" in server.deliveries[-1].body
    server.is_late_at_once = True
    assert (await post(server, text(ada.id, "x"))).json()["error"]["code"] == 131047


@pytest.mark.parametrize("mime", ["text/html", "application/zip"])
async def test_kinds_of_files_that_meta_does_not_take_are_refused(
    server: WhatsAppServer, mime: str
) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(
            f"{server.base_url}/{server.phone_id}/media",
            headers={"Authorization": f"Bearer {server.token}"},
            data={"messaging_product": "whatsapp", "type": mime},
            files={"file": ("a", b"x", mime)},
        )
    assert answer.json()["error"]["code"] == 100


async def test_a_key_that_meta_does_not_know_fails_the_test() -> None:
    async def wrong() -> None:
        async with WhatsAppServer() as strict:
            ada = strict.person("Ada")
            await post(strict, text(ada.id, "x", markup="bold"))

    with pytest.raises(ContractViolation, match="markup"):
        await wrong()
