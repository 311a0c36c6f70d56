"""Instances on Hetzner Cloud: `driver.HetznerDriver`, over the vendor's own client (extra `hetzner`).

What is particular here: names are unique in a project, so they are the idempotency key; a server without
an SSH key would have its root password mailed, so it always has one; a server that is switched off costs
as before; its address is made and deleted with it; volumes that somebody attached outlive it.
"""
