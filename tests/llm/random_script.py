"""A script for `FakeLLM` that answers any request with a random valid answer."""

import random
from collections.abc import Callable

from swarm.core.chat import ModelRequest, RawAnswer
from swarm.core.usage import Usage
from swarm.llm.fake import answer
from tests.servers.schema_instances import instance


def random_script(
    seed: float | str, *, text_share: float = 0.2
) -> Callable[[ModelRequest], RawAnswer]:
    """Return a script: an instance of the schema, a valid tool call, or sometimes a text."""
    rng = random.Random(seed)

    def play(request: ModelRequest) -> RawAnswer:
        size = len(str(request.messages).encode())
        written = rng.randint(1, request.max_output_tokens)
        usage = Usage(input_tokens=rng.randint(1, size), output_tokens=written)
        if request.schema is not None:
            return answer(json=instance(request.schema, rng), usage=usage)
        if request.tools and rng.random() >= text_share:
            tool = rng.choice(request.tools)
            return answer(tool_calls=[(tool.name, instance(tool.parameters, rng))], usage=usage)
        return answer(instance({"type": "string"}, rng), usage=usage)

    return play
