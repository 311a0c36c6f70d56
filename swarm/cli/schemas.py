"""The JSON Schemas of the documents that commands print."""

from pydantic import BaseModel

from swarm.cli.terminal import show_json
from swarm.core.document import OrderDocument, PaperDocument
from swarm.core.errors import NotFound
from swarm.core.registry import nearest

DOCUMENTS: dict[str, type[BaseModel]] = {"order": OrderDocument, "receipt": PaperDocument}


def schema(*, name: str) -> None:
    """Print the schema of a document.

    Raises:
        NotFound: No such document.
    """
    if name not in DOCUMENTS:
        raise NotFound(f"There is no document {name!r}{nearest(name, DOCUMENTS)}")
    show_json(DOCUMENTS[name].model_json_schema(mode="serialization"))
