"""A terminal for tests: run a command line in this process and see what it left."""

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from swarm.cli.entry import run
from swarm.llm.choose import provider_keys


@dataclass(frozen=True)
class Seen:
    """What one command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


class Terminal:
    """A person at a terminal, with a home of their own."""

    def __init__(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.home = home
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        for name in provider_keys():
            monkeypatch.delenv(name, raising=False)
        self.set(SWARM_HOME=str(home), USER="ada")
        # A test never waits for a provider that fails on purpose.
        self.set(SWARM_LLM__BACKOFF_S="0", SWARM_LLM__MAX_ATTEMPTS="2", SWARM_LIMITS__POLL_S="0.02")

    def set(self, **variables: str) -> None:
        """Set environment variables."""
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

    def use(self, url: str, *, model: str = "openai/scripted-1") -> None:
        """Name the server that plays the models."""
        self.set(SWARM_LLM__API_BASE=url, SWARM_LLM__MODEL=model)

    def run(self, *argv: str, stdin: bytes = b"") -> Seen:
        """Run one command line."""
        self._capsys.readouterr()
        stream = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
        self._monkeypatch.setattr(sys, "stdin", stream)
        code = run(argv)
        captured = self._capsys.readouterr()
        return Seen(code, captured.out, captured.err)

    def order(self, text: str = "Write a page for a bakery.", *options: str) -> str:
        """Store an order and return its id."""
        seen = self.run("order", text, "--json", *options)
        assert seen.code == 0, seen.err
        return str(seen.document["id"])
