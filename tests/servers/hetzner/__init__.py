"""A small Hetzner Cloud: what it sells, what exists in it, and what that costs.

Each request and each answer is held against the published contract where that is at hand (see
`contract`), and the product reads the answers with the vendor's own client.
"""

from tests.servers.hetzner.server import TOKEN, HetznerServer

__all__ = ["TOKEN", "HetznerServer"]
