"""A founder's day: one order from the first word to the signature, all of it on a phone.

The chat as she reads it stands in `a_day_on_the_phone.txt`. After a change that is meant, write it
anew with `pytest tests/acceptance/test_a_day_on_the_phone.py --write-transcript` and read the
difference.
"""

import random
import re
from pathlib import Path
from typing import Any

import pytest

from swarm.core.ids import ALPHABET, ORDER_LENGTH
from swarm.core.order import OrderStatus
from tests.acceptance.at_work import called, first, kind_of, prompt_of, role_of, script, task
from tests.channels.telegram.chats import Chatting, chatting
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Body, Reply, completion
from tests.servers.telegram import Message

TRANSCRIPT = Path(__file__).with_suffix(".txt").with_name("a_day_on_the_phone.txt")
THINKS_S = 1.6
"""How long the first call of a kind takes: longer than progress waits before it shows itself."""
ORDER = "We open a bakery in Pantin on 2 May. Make us a launch page, and a post that announces it."
QUESTION = "What should people remember of you?"
GOAL = "A launch page for the bakery in Pantin, and a post that announces it"
APPROACH = "The page first; the post then quotes what the page says."
PLAN = (
    task("Build the launch page", "cto", deliverable="page.html", human_hours=6.0),
    task("Write the post", "marketcom", 0, deliverable="post.md", human_hours=2.0),
)
PAGE = "<h1>Levain</h1><p>Bread that took two days. From 2 May, 12 rue Hoche, Pantin.</p>\n"
POST = "From 2 May: bread that took two days, at 12 rue Hoche in Pantin.\n"
SHORT = "2 May. Two-day bread. 12 rue Hoche, Pantin.\n"
USAGE = {"prompt_tokens": 1_800, "completion_tokens": 240, "total_tokens": 2_040}
"""The same for every call, so that the receipt does not follow the length of a prompt."""


class SteadyIds:
    """Draw identifiers as the product does, but the same ones each day."""

    def __init__(self) -> None:
        self._streams: dict[str, random.Random] = {}

    def new(self, prefix: str) -> str:
        stream = self._streams.setdefault(prefix, random.Random(f"levain {prefix}"))
        return prefix + "".join(stream.choice(ALPHABET) for _ in range(ORDER_LENGTH))


def decide(request: Body) -> Body | None:
    """Play the head of the company."""
    said = prompt_of(request)
    is_short = "too long" in said
    documents: dict[str, Any] = {
        "frame": {
            "goal": GOAL,
            "success_criteria": ["Date and address are on the page.", "The post names the date."],
            "language": "en",
            "kind": "web page",
            "questions": [QUESTION],
        },
        "plan": {
            "approach": APPROACH + (" One sentence is enough for the post." if is_short else ""),
            "tasks": [
                {
                    "title": item.title,
                    "role": item.role,
                    "brief": item.brief,
                    "deliverable": item.deliverable,
                    "depends_on": list(item.depends_on),
                    "human_hours": item.human_hours,
                }
                for item in plan_for(said)
            ],
        },
        "review": {"verdict": "accept", "reasons": []},
        "delivery": {
            "answer": "The page and the post are ready; both name 2 May and 12 rue Hoche.",
            "lessons": [],
        },
    }
    name = kind_of(request)
    return completion(document=documents[name], usage=USAGE) if name in documents else None


def plan_for(said: str) -> tuple[Any, ...]:
    """Return the tasks: the founder took the second language out of the plan."""
    french = task("Translate the page", "marketcom", 0, deliverable="page-fr.html", human_hours=3.0)
    return PLAN if "No translation" in said else (*PLAN, french)


def work(request: Body) -> Body | None:
    """Play the engineer and the writer: each writes one file and delivers it."""
    if kind_of(request) != "work":
        return decide(request)
    is_short = "too long" in prompt_of(request)
    post = SHORT if is_short else POST
    path, content = ("page.html", PAGE) if role_of(request) == "cto" else ("post.md", post)
    done = called(request)
    if "write_file" not in done:
        return completion(
            tool_calls=[("write_file", {"path": path, "content": content})], usage=USAGE
        )
    if "deliver" not in done:
        return completion(tool_calls=[("deliver", {"path": path, "summary": "Done."})], usage=USAGE)
    return completion(text="It is written and delivered.", usage=USAGE)


def unhurried() -> ScriptedProvider:
    """Return the provider: whoever begins to think or to work takes their time."""
    scripted = first(work, script(PLAN))

    def play(request: Body) -> Body | Reply:
        made = scripted.script(request)
        if isinstance(made, Reply):
            return made
        made["usage"] = dict(USAGE)
        begins = kind_of(request) in ("frame", "plan") or not called(request)
        return Reply(made, delay_s=THINKS_S if begins else 0.0)

    return ScriptedProvider(play)


async def test_an_order_goes_from_the_first_word_to_the_signature_on_a_phone(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    async with chatting(
        tmp_path / "home", unhurried(), ids=SteadyIds(), budget__sign_above="0"
    ) as company:
        await the_day(company)
        (order,) = company.orders
        assert order["status"] == OrderStatus.ACCEPTED.value
        assert order["signed_off_by"] == "Ada"
        written = steady(company.chat.transcript(with_times=False))
    if pytestconfig.getoption("--write-transcript", default=False):
        TRANSCRIPT.write_text(written, encoding="utf-8")
    assert written == TRANSCRIPT.read_text(encoding="utf-8")


async def the_day(company: Chatting) -> None:
    """Do what Ada does with her thumb, each step after she has read what came."""
    ada = company.ada
    ada.starts()
    await company.sees("Welcome")
    ada.says(ORDER)
    await company.sees("is taken")
    await company.sees("the head thinks")
    question = await company.sees(QUESTION)
    ada.says("That our bread takes two days.", reply_to=question)
    await company.sees("Taken as your answer")
    await planned(company, 1)
    await ada.presses("Edit").answered()
    await company.sees("What should be different")
    ada.says("No translation for now.")
    card = await planned(company, 2)
    ada.says("how much so far?")
    await company.sees("Spent on")
    await ada.presses("Approve").answered()
    await company.sees("goes on")
    await company.chat.until(lambda _: not card.buttons)
    await delivered(company, ("page.html", PAGE), ("post.md", POST))
    await ada.presses("Rework").answered()
    await company.sees("What should be different")
    ada.says("The post is too long for a phone.")
    await company.sees("goes back to work")
    await planned(company, 3)
    ada.says("yes")
    await company.sees("goes on")
    result = await delivered(company, ("page.html", PAGE), ("post.md", SHORT))
    await ada.presses("Accept").answered()
    await company.sees("is yours")
    await company.chat.until(lambda _: not result.buttons)
    await company.settled()


async def planned(company: Chatting, revision: int) -> Message:
    """Return a plan's card, once the progress message has come to rest, too."""
    card = await company.sees(f"revision {revision}")
    for words in (GOAL, "Forecast", "Budget left", "A human team", "cto", "To sign: Ada"):
        assert words in card.text, words
    assert [button.text for button in card.buttons] == ["✅ Approve", "✏️ Edit", "❌ Reject"]
    await company.chat.until(lambda chat: has_progress(chat.from_bot, "▫️ t1"), timeout_s=20)
    return card


async def delivered(company: Chatting, *files: tuple[str, str]) -> Message:
    """Return the card of a delivery, once its files came as they were made, and the progress."""
    card = await company.sees("is delivered")
    assert [b.text for b in card.buttons] == ["✅ Accept", "🔁 Rework", "💶 Show cost"]
    for name, content in files:
        shown = await company.sees(name)
        assert shown.file is not None
        assert shown.file.content == content.encode()
    await company.chat.until(lambda chat: has_progress(chat.from_bot, "✅ t2"), timeout_s=20)
    return card


def has_progress(messages: list[Message], words: str) -> bool:
    """Return whether the newest progress message reads so."""
    shown = [m.text for m in messages if m.text.startswith("⏳")]
    return bool(shown) and words in shown[-1]


def steady(transcript: str) -> str:
    """Return a chat without what differs from day to day.

    That is how long work took, how often a message was changed, and the flash on a pressed button,
    which may come before or after the message that follows.
    """
    timeless = re.sub(r"(calls), (\d+ min )?\d+ s\b", r"\1, a few seconds", transcript)
    unmarked = re.sub(r" \(edited \d+ times?\):", ":", timeless)
    return unmarked.replace("(Good.)\n", "")
