"""A server in a process of its own, which outlives the bot that a test kills.

    with in_process() as remote:
        ada = remote.do("person", name="Ada")["id"]
        remote.do("says", person=ada, text="Write a page")
        # start the bot against remote.base_url with remote.token, kill it, start it again
        remote.do("next", chat=ada, contains="Plan", timeout_s=30)
        remote.check()

`Remote` blocks; from a coroutine call it through `asyncio.to_thread`. Verbs are in `admin`.
"""

import contextlib
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.servers.telegram.server import ContractViolation

ROOT = Path(__file__).parents[3]
TIMEOUT_S = 120.0


class Remote:
    """Steers a server by its address."""

    def __init__(self, url: str) -> None:
        self.url = url
        state = self.do("state")
        self.token: str = state["token"]
        self.base_url: str = state["base_url"]
        self.base_file_url: str = state["base_file_url"]

    def do(self, verb: str, **fields: Any) -> Any:
        """Do one verb and return its answer.

        Raises:
            AssertionError: The server says why not; `next` shows the chat as it stands.
        """
        split = urlsplit(self.url)
        assert split.hostname is not None
        connection = http.client.HTTPConnection(split.hostname, split.port, timeout=TIMEOUT_S)
        with contextlib.closing(connection):
            connection.request("POST", f"/admin/{verb}", json.dumps(fields))
            answer = connection.getresponse()
            document = json.loads(answer.read())
        if answer.status != 200:
            raise AssertionError(document["error"])
        return document

    def check(self) -> None:
        """Raise what broke the contract so far.

        Raises:
            ContractViolation: Something did.
        """
        broken = self.do("state")["violations"]
        if broken:
            raise ContractViolation("\n".join(broken))


@contextlib.contextmanager
def in_process(*, port: int = 0) -> Iterator[Remote]:
    """Run a server in a process of its own."""
    argv = [sys.executable, "-m", "tests.servers.telegram", "--port", str(port)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        try:
            assert process.stdout is not None
            yield Remote(json.loads(process.stdout.readline())["url"])
        finally:
            process.terminate()
            process.wait(10)
