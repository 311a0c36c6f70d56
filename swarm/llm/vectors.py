"""Requests for vectors of texts, and the vectors in their answers.

A request for vectors travels as a `ModelRequest` whose messages are the texts and whose answer may
have no token, so that it is reserved, charged and kept in the ledger as every other call is.
"""

import base64
import struct
from collections.abc import Sequence

from swarm.core.chat import ModelRequest, RawAnswer
from swarm.core.errors import BadAnswer

MAX_TEXT = 8_000
"""Characters sent of one text; the context of common embedding models is 8,191 tokens."""


def vectors_request(model: str, texts: Sequence[str]) -> ModelRequest:
    """Return the request for one vector per text."""
    return ModelRequest(
        model=model,
        messages=tuple({"role": "user", "content": text[:MAX_TEXT]} for text in texts),
        max_output_tokens=0,
    )


def read_vectors(answer: RawAnswer, *, count: int) -> list[tuple[float, ...]]:
    """Read the vectors out of an answer that `Embeddings` gave.

    Raises:
        BadAnswer: Not `count` vectors of one length, each of finite numbers.
    """
    try:
        packed = [base64.b64decode(item["embedding"]) for item in answer.body["data"]]
        vectors = [struct.unpack(f"<{len(data) // 4}f", data) for data in packed]
    except (KeyError, TypeError, ValueError, struct.error):
        vectors = []
    if len(vectors) != count or len({len(vector) for vector in vectors}) != 1 or not vectors[0]:
        raise BadAnswer(f"{answer.model}: what came back is not {count} vectors", kind="malformed")
    return vectors


def packed(vector: Sequence[float]) -> str:
    """Write a vector as a text of base64: as numbers it takes ten times the place."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
