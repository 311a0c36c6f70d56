"""What Telegram says when it refuses, in Telegram's own words."""

from typing import Any


class Refusal(Exception):
    """One refused call: an HTTP status, a description and, for floods, a wait."""

    def __init__(
        self, code: int, description: str, *, retry_after: int | None = None, **more: Any
    ) -> None:
        super().__init__(f"{code} {description}")
        self.code = code
        self.description = description
        self.parameters: dict[str, Any] = dict(more)
        if retry_after is not None:
            self.parameters["retry_after"] = retry_after

    @property
    def document(self) -> dict[str, Any]:
        """The body of the answer."""
        body: dict[str, Any] = {
            "ok": False,
            "error_code": self.code,
            "description": self.description,
        }
        if self.parameters:
            body["parameters"] = self.parameters
        return body


def bad(reason: str, **parameters: Any) -> Refusal:
    """Refuse what was asked for: 400."""
    return Refusal(400, f"Bad Request: {reason}", **parameters)


def forbidden(reason: str) -> Refusal:
    """Refuse because of who asks: 403."""
    return Refusal(403, f"Forbidden: {reason}")


def conflict(reason: str) -> Refusal:
    """Refuse because somebody else listens: 409."""
    return Refusal(409, f"Conflict: {reason}")


def flood(retry_after: int) -> Refusal:
    """Refuse because there were too many: 429."""
    return Refusal(429, f"Too Many Requests: retry after {retry_after}", retry_after=retry_after)


UNAUTHORIZED = Refusal(401, "Unauthorized")
NO_METHOD = Refusal(404, "Not Found: method not found")
NOT_FOUND = Refusal(404, "Not Found")
TOO_LARGE = Refusal(413, "Request Entity Too Large")
SECOND_POLLER = conflict(
    "terminated by other getUpdates request; make sure that only one bot instance is running"
)
HAS_WEBHOOK = conflict(
    "can't use getUpdates method while webhook is active; "
    "use deleteWebhook to delete the webhook first"
)
SET_WEBHOOK = conflict("terminated by setWebhook request")
NOT_MODIFIED = bad(
    "message is not modified: specified new message content and reply markup are exactly the "
    "same as a current content and reply markup of the message"
)
OLD_QUERY = bad("query is too old and response timeout expired or query ID is invalid")
NO_THREAD = bad("message thread not found")
NO_CHAT = bad("chat not found")
