"""A strict WhatsApp Cloud API for tests, on a real loopback socket, and the people who write to it.

It keeps state (chats, messages, media, windows), refuses what the Graph API refuses in its words,
and goes wrong on demand. pywa talks to it unpatched:

    async with WhatsAppServer() as server:
        server.webhook_url = "http://127.0.0.1:8444/whatsapp"
        ada = server.person("Ada")
        ada.says("Write a page")
        card = await ada.chat.next("Plan")
        ada.presses("Approve")                   # a button, or a row of a list
        ada.sends_file(b"…", "a.pdf"); ada.reacts(card, "👍"); ada.edits(wamid, "other text")
        print(ada.chat.transcript())

- Webhooks: signed over their bytes, brought again until 200; `server.deliveries`,
  `await server.drained()`, `server.redeliver(delivery)`, `server.batch()` brings two in one.
- Window: `server.advance(hours=25)`; a text that comes too late is taken and then reported as failed,
  as Meta does, or refused at once with `server.is_late_at_once`.
- Templates: `server.templates[("decision_needed", "en")] = 1` (how many places its body has).
- Faults: `server.faults.append(Fault(code=130429, status=429))`.
- Figures: `server.record`, `server.violations`.

Where it is stricter than Meta on purpose: an unknown key fails the test at the end.
"""

from tests.servers.whatsapp.people import Chat, NothingCame, Person, Sent
from tests.servers.whatsapp.rules import Fault
from tests.servers.whatsapp.server import ContractViolation, WhatsAppServer

__all__ = [
    "Chat",
    "ContractViolation",
    "Fault",
    "NothingCame",
    "Person",
    "Sent",
    "WhatsAppServer",
]
