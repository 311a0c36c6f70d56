"""A strict Slack for tests, on a real loopback socket: its Web API, its Socket Mode, its people.

It keeps state (channels, threads, messages, files), refuses what Slack refuses in Slack's words, and
goes wrong on demand. slack-bolt talks to it unpatched:

    async with SlackServer() as server:
        ada = server.person("Ada")                    # .identity is TEAM:USER
        ada.says("Write a page")                      # in private; also channel=, thread=
        card = await ada.chat().next("Plan")          # next message or edit of the app with "Plan"
        ada.presses("Approve")
        ada.commands("/swarm", "status")
        ada.edits(message, "other text"); ada.reacts(card, "thumbsup"); ada.sends_file(b"…", "a.txt")
        print(ada.chat().transcript())

- Deliveries: `server.deliveries` (each with `.acked`, `.ack_s`, `.tries`), `await server.drained()`,
  `server.redeliver(delivery)`; what is not acknowledged within `server.ack_s` comes again.
- Sockets: `server.sockets_die()` (they stay open and say nothing), `server.asks_to_reconnect()`,
  `await server.go_down()`, `await server.come_back()`.
- Faults: `server.faults.append(Fault("chat.postMessage", status=429, retry_after=7))`.
- Figures: `server.calls("chat.postMessage")`, `server.violations`.

Where it is stricter than Slack on purpose: a parameter that Slack does not know fails the test at
the end, as do late and unknown acknowledgements.
"""

from tests.servers.slack.person import Person
from tests.servers.slack.server import ContractViolation, SlackServer
from tests.servers.slack.wire import Fault
from tests.servers.slack.world import Conversation, Message, NothingCame

__all__ = [
    "ContractViolation",
    "Conversation",
    "Fault",
    "Message",
    "NothingCame",
    "Person",
    "SlackServer",
]
