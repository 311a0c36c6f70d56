"""Swarm: a company made of agents that one founder steers from a phone."""

__version__ = "0.1.0"
