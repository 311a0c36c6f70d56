"""The receipt of an order: every attempt counted, nothing rounded away, unknowns said aloud.

`sheet` holds what it is made of; `total` adds up money, `times` adds up time, `attempts` says where
the money went, `left_out` what the total does not count. Another cost is one more entry in `total`
and one sentence in `left_out` for where it is missing.
"""

from swarm.ledger.receipt.paper import receipt
from swarm.ledger.receipt.sheet import Sheet

__all__ = ["Sheet", "receipt"]
