"""The provider of the measurements: an order of nine calls, answered at once or after a pause.

Frame, plan, three tasks side by side (one of them with a tool call), their reviews, the delivery:
1 + 1 + (2 + 1 + 1) + 3 + 1 = 10 calls.
"""

import argparse
import asyncio
import json
from typing import Any

from tests.servers.company import CompanyScript, PlannedTask
from tests.servers.provider import ScriptedProvider, serve
from tests.servers.replies import Body, completion

PLAN = (
    PlannedTask("Build the page", "cto", "Write the page as one file.", "page.md", (), 6.0),
    PlannedTask("Write the post", "marketcom", "Write the post.", "post.md", (), 3.0),
    PlannedTask("Prepare answers", "support", "Write answers to customers.", "faq.md", (), 2.0),
)


class BenchScript(CompanyScript):
    """Work in one word, but for the CTO, who writes a file first."""

    def __init__(self) -> None:
        super().__init__(PLAN)

    def __call__(self, request: Body) -> Body:
        if request.get("response_format") or not request.get("tools"):
            return super().__call__(request)
        said = json.dumps(request["messages"], ensure_ascii=False)
        usage = {"prompt_tokens": len(said) // 4, "completion_tokens": 40, "total_tokens": 0}
        parts: dict[str, Any] = {"text": "Here is the result, in a few words.\n" * 5}
        is_first = not any(message["role"] == "tool" for message in request["messages"])
        if "Your task: Build the page" in said and is_first:
            parts = {
                "tool_calls": [("write_file", {"path": "page.md", "content": "# Page\n" * 20})]
            }
        return completion(usage=usage, model="gpt-4o-mini", **parts)


def main() -> None:
    """Serve until the parent is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.0)
    asyncio.run(serve(ScriptedProvider(BenchScript(), delay_s=parser.parse_args().delay)))


if __name__ == "__main__":
    main()
