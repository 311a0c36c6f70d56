"""A small Scaleway: instances, addresses, security groups and block volumes in three zones.

There is no published contract at hand to hold it against; its answers are read by the vendor's own
client, and it refuses what that client's documentation calls wrong.
"""

from tests.servers.scaleway.server import ACCESS_KEY, PROJECT, SECRET_KEY, ScalewayServer

__all__ = ["ACCESS_KEY", "PROJECT", "SECRET_KEY", "ScalewayServer"]
