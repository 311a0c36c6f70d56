"""The methods with state, one file per part of the Bot API; the others answer by the contract.

To add one, write a function with `@method("sendDice")` in the file it belongs to.
"""

from tests.servers.telegram.methods import account, chats, editing, incoming, media, sending
from tests.servers.telegram.methods.desk import METHODS, Desk, Rules

__all__ = ["METHODS", "Desk", "Rules"]

# Imported for what they register.
_ = (account, chats, editing, incoming, media, sending)
