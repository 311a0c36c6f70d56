"""Run the server as a process; its first line is one JSON document that says where it listens."""

import argparse
import asyncio
import json
import os
import sys

from tests.servers.telegram.server import TOKEN, TelegramServer


async def serve(server: TelegramServer) -> None:
    """Serve until the parent process is gone, or until killed."""
    parent = os.getppid()
    await server.start()
    try:
        where = {"url": server.url, "base_url": server.base_url}
        where |= {"base_file_url": server.base_file_url, "token": server.token}
        sys.stdout.write(json.dumps(where) + "\n")
        sys.stdout.flush()
        # No portable signal tells of a parent's death; being handed to another one does.
        while os.getppid() == parent:  # noqa: ASYNC110 - nobody is there to set an event
            await asyncio.sleep(0.5)
    finally:
        await server.stop()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="tests.servers.telegram")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", default=TOKEN)
    parser.add_argument("--username", default="swarm_bot")
    parser.add_argument("--topics", action="store_true", help="private chats have topics")
    parser.add_argument("--no-privacy", action="store_true", help="the bot reads whole groups")
    options = parser.parse_args()
    server = TelegramServer(
        token=options.token,
        username=options.username,
        port=options.port,
        has_topics=options.topics,
        has_privacy=not options.no_privacy,
    )
    asyncio.run(serve(server))


if __name__ == "__main__":
    main()
