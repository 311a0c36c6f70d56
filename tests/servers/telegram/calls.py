"""One call of a Bot API method: its parameters from a query, a form, a multipart form or JSON."""

import email.parser
import email.policy
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.servers.telegram.refusals import bad
from tests.servers.telegram.sockets import Request

TRUE = ("true", "yes", "1")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came with a call."""

    name: str
    content_type: str
    content: bytes


@dataclass(slots=True)
class Call:
    """A method's name and what was given with it, before any of it is believed."""

    method: str
    parameters: dict[str, Any]
    """Values as they came: text from forms; documents too where the body was JSON."""
    uploads: dict[str, Upload] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Tell whether a parameter was given and is not empty."""
        return self.parameters.get(name) not in (None, "")

    def text(self, name: str, default: str = "") -> str:
        """Return a parameter as text."""
        value = self.parameters.get(name)
        if value is None:
            return default
        return value if isinstance(value, str) else json.dumps(value)

    def integer(self, name: str, default: int = 0) -> int:
        """Return a parameter as a whole number, like Telegram: what is none counts as default."""
        try:
            return int(self.text(name))
        except ValueError:
            return default

    def flag(self, name: str) -> bool:
        """Return a parameter as yes or no."""
        return self.text(name).strip().lower() in TRUE

    def document(self, name: str) -> Any:
        """Return a parameter that is JSON, or None.

        Raises:
            Refusal: It is no JSON.
        """
        value = self.parameters.get(name)
        if not isinstance(value, str):
            return value
        if not value.strip():
            return None
        try:
            return json.loads(value)
        except ValueError:
            raise bad(f"can't parse {name.replace('_', ' ')} JSON object") from None


def target_of(request: Request) -> tuple[list[str], dict[str, str]]:
    """Split the target into the decoded parts of its path and its query."""
    split = urlsplit(request.target)
    parts = [unquote(part) for part in split.path.split("/") if part]
    return parts, dict(parse_qsl(split.query, keep_blank_values=True))


def read_call(method: str, query: dict[str, str], request: Request) -> Call:
    """Read the parameters of a call.

    Raises:
        Refusal: The body is not what its content type says.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    call = Call(method, dict(query))
    if not request.body:
        return call
    if kind == "application/json":
        try:
            document = json.loads(request.body)
        except ValueError:
            raise bad("can't parse JSON object") from None
        if not isinstance(document, dict):
            raise bad("object expected as JSON body")
        call.parameters |= {k: v for k, v in document.items() if v is not None}
    elif kind == "multipart/form-data":
        _read_multipart(call, request)
    else:
        text = request.body.decode("utf-8", "replace")
        call.parameters |= dict(parse_qsl(text, keep_blank_values=True))
    return call


def _read_multipart(call: Call, request: Request) -> None:
    boundary = _boundary(request.headers["content-type"])
    for part in request.body.split(b"--" + boundary)[1:]:
        if part.startswith(b"--"):
            break
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + b"\r\n\r\n")
        disposition = headers["content-disposition"].params
        content = content.removesuffix(b"\r\n")
        name = disposition["name"]
        if "filename" in disposition:
            kind = headers.get_content_type() if headers["content-type"] else ""
            call.uploads[name] = Upload(disposition["filename"], kind, content)
        else:
            call.parameters[name] = content.decode("utf-8", "replace")


def _boundary(content_type: str) -> bytes:
    for item in content_type.split(";")[1:]:
        key, _, value = item.strip().partition("=")
        if key.lower() == "boundary":
            return value.strip('"').encode()
    raise bad("no boundary in the multipart form")
