"""A server as the farm reaches it: Debian's own sshd on a loopback port, a stand-in for Docker behind it.

The stand-in keeps containers in a file and homes in folders; what is run inside one runs for real.
"""
