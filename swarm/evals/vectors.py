"""Calls for vectors in a replay: what memory asked for a recall is asked again, on the same account.

What was recalled is in the recording itself. The calls are made all the same, since the order paid
for them: a changed query is then a call that nobody recorded.
"""

from collections.abc import Callable
from contextlib import suppress

from swarm.core.errors import LimitExceeded, ModelError
from swarm.evals.cassette import Cassette
from swarm.evals.stage import RecordedMemory
from swarm.ledger.metered import Metered
from swarm.llm.vectors import MAX_TEXT
from swarm.memory.base import Viewer
from swarm.runtime.embedding import ask_again, digest_of
from swarm.runtime.recalling import Recaller, Remembered

EMBED = "/embed/"


def recaller_of(cassette: Cassette, metered: Callable[[], Metered]) -> Recaller:
    """Return what brings recorded memories into prompts, with the calls that this took."""
    plain = RecordedMemory(cassette)
    asked = [entry for entry in cassette.lane("model") if EMBED in entry["lane_of"]]
    if not asked:
        return plain
    by_node: dict[str, list[_Asked]] = {}
    for entry in asked:
        node, _, digest = entry["lane_of"].rpartition(" ")[0].partition(" ")[2].partition(EMBED)
        texts = [str(message["content"]) for message in entry["request"]["messages"]]
        known = by_node.setdefault(node, [])
        if digest not in [digest for digest, _, _ in known]:
            known.append((digest, entry["request"]["model"], texts))
    return _Asking(plain, by_node, metered)


_Asked = tuple[str, str, list[str]]
"""Digest in the name of the call, model, texts."""


class _Asking:
    """Ask for the recorded vectors, then recall what was recalled."""

    def __init__(
        self,
        plain: RecordedMemory,
        by_node: dict[str, list[_Asked]],
        metered: Callable[[], Metered],
    ) -> None:
        self._plain = plain
        self._by_node = by_node
        self._metered = metered

    async def recall(
        self, query: str, viewer: Viewer, *, language: str | None, but_of: str, node: str
    ) -> Remembered:
        """Return what was recalled for a node."""
        for payer in [name for name in self._by_node if _pays_for(name, node)]:
            asked = self._by_node.pop(payer)
            if all(texts != [query[:MAX_TEXT]] for _, _, texts in asked):
                model = asked[-1][1]
                asked = [(digest_of(model, [query]), model, [query])]
            for digest, model, texts in asked:
                # Recall is a help, no duty: it went on without vectors then, too.
                with suppress(ModelError, LimitExceeded):
                    await ask_again(self._metered(), model, texts, digest=digest)
        return await self._plain.recall(query, viewer, language=language, but_of=but_of, node=node)


def _pays_for(payer: str, node: str) -> bool:
    """Say whether a node pays for a recall; the head's own are named without the try."""
    head, _, tries = payer.rpartition("/")
    return payer == node or (head == node and tries.isdigit())
