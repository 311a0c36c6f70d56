"""A strict Telegram Bot API server for tests, on a real loopback socket, and the people in its chats.

It keeps state (chats, topics, messages, files, button presses), refuses what Telegram refuses in
Telegram's words, goes wrong on demand, and checks every call, result and update against the
published contract where that file is present. python-telegram-bot talks to it unpatched:

    async with TelegramServer() as server:
        bot = telegram.Bot(
            server.token, base_url=server.base_url, base_file_url=server.base_file_url
        )
        ada = server.person("Ada")               # .id never changes; .renames() does
        chat = ada.chat()                        # her private chat with the bot
        ada.starts("invitation")                 # /start invitation
        ada.says("Write a landing page")         # also reply_to=, topic=, chat=group
        card = await chat.next("Plan")           # next bot message or edit that contains "Plan"
        press = ada.presses("Approve")           # by text or data, newest message that has it
        await press.answered()                   # the answerCallbackQuery
        ada.edits(message, "other text"); ada.reacts(card, "👍"); ada.sends_voice(ogg_bytes)
        print(chat.transcript())

- Groups: `server.group("Team", ada, ben, is_forum=True, is_bot_admin=True)`; `ada.opens_topic`.
  Group privacy is on by default, so a plain message there reaches no bot that isn't an admin.
- Faults: `server.faults.add(faults.too_many(3), "sendMessage", chat_id=…, skip=0, times=1)`; see
  `faults` for the others; `go_down`, `go_silent`, `come_back` for the network.
- Updates: `server.replay(update_id)`, `server.disorder(seed, copies=5)`; `await server.listened()`
  (a long poll hangs), `await server.drained()` (everything confirmed).
- Figures: `server.requests` (each with `.call`, `.status`, `.effect`), `server.rates`
  (`busiest_second`, `exceeded`, `disobeyed`, `is_enforced`), `server.violations`.
- More of what happens: `ada.pastes(long_text)`, `ada.sends_album()`, `ada.forges(message, data)`,
  `ada.blocks()`, `ada.renames("Ben")`, `server.upgrade(plain_group)`, `server.change_token(…)`,
  `server.add_bot(token, username)` and `ada.chat(that_bot)`; `chat.delays_s()` for load tests;
  `server.updates().order = lambda waiting: waiting[::-1]` for an order of one's own.
- Time: `server.advance(seconds)` ages drafts, presses and links.
- As a process: `python -m tests.servers.telegram --port 0`, steered through `/admin`; see `remote`.

Where it is stricter than Telegram on purpose: message thread 1 is refused for chat actions too, a
broken contract (an unknown parameter, say) fails the test at the end. Where it is looser: webhooks
may be plain HTTP on loopback.
"""

from tests.servers.telegram import faults
from tests.servers.telegram.conversation import Conversation, NothingCame
from tests.servers.telegram.person import Person
from tests.servers.telegram.server import TOKEN, ContractViolation, TelegramServer
from tests.servers.telegram.world import Bot, Button, Message, Press, Topic

__all__ = [
    "TOKEN",
    "Bot",
    "Button",
    "ContractViolation",
    "Conversation",
    "Message",
    "NothingCame",
    "Person",
    "Press",
    "TelegramServer",
    "Topic",
    "faults",
]
