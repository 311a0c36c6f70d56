"""Build and run the image on a machine that may have no registry and no Docker daemon.

`make image` and `make image-test` go through here. A daemon of our own (own socket, data, network)
is started and stopped by its process id; the base image that the Dockerfile names is made from
Debian's packages and this machine's Python, unless a registry gives it. Such a base holds the
certificates of this machine and an unofficial Python: what is built on it is for tests, never for
publishing.
"""
