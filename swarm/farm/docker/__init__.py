"""Instances in containers of one Docker engine, driven through its client.

The client needs no dependency, and respects contexts and DOCKER_HOST as its user set them. Words go
to it as lists, secrets through its standard input alone.
"""
