"""A provider for an instance in a container: its engineer first runs commands, then delivers.

    python -m tests.image.provider --port 8000 --delay 0.2

It imports nothing that is not in the image. What each command gave is printed, one JSON document
per line, so that a test can read it from outside: `docker logs`.
"""

import argparse
import asyncio
import json
import sys
from typing import Any

from tests.servers.company import CompanyScript, PlannedTask
from tests.servers.provider import ScriptedProvider, serve
from tests.servers.replies import Body, completion

# What a sandboxed command sees and may do, told by the command itself.
LOOK = """\
id -u
echo made > made.txt && echo wrote here
cat /data/swarm.db > /dev/null && echo read the books
echo x > /data/outside && echo wrote to the home
echo x > /tmp/outside && echo wrote to tmp
cat /proc/1/environ > /dev/null && echo read the environment
env | grep -c KEY
true
"""
REACH = """\
import os, socket
for name, family in (("tcp", socket.AF_INET), ("unix", socket.AF_UNIX)):
    try:
        socket.socket(family).connect(("127.0.0.1", 8000) if name == "tcp" else "/tmp/x")
        print(name, "reached")
    except OSError as error:
        print(name, type(error).__name__)
print("answer", 6 * 7, "uid", os.getuid())
"""
COMMANDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("shell", {"command": ["sh", "-c", LOOK]}),
    ("python", {"script": REACH}),
)
PLAN = (
    PlannedTask("Look around", "cto", "Look around and say what you see.", "seen.md", (), 1.0),
    PlannedTask("Write the post", "marketcom", "Write a post.", "post.md", (0,), 1.0),
)


class Working:
    """Answers as `CompanyScript` does, once the engineer has run its commands."""

    def __init__(self) -> None:
        self._script = CompanyScript(PLAN)

    def __call__(self, request: Body) -> Body:
        offered = {tool["function"]["name"] for tool in request.get("tools") or []}
        told = [m["content"] for m in request["messages"] if m.get("role") == "tool"]
        if {"shell", "python"} <= offered and "response_format" not in request:
            if told:
                sys.stdout.write(json.dumps({"seen": told[-1]}) + "\n")
                sys.stdout.flush()
            if len(told) < len(COMMANDS):
                return completion(tool_calls=[COMMANDS[len(told)]], model=str(request["model"]))
        return self._script(request)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="tests.image.provider")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args()
    provider = ScriptedProvider(
        Working(), port=options.port, delay_s=options.delay, host=options.host
    )
    asyncio.run(serve(provider))


if __name__ == "__main__":
    main()
