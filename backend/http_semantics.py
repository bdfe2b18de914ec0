"""What a request means by HTTP itself (RFC 9110), before anything of the app reads it.

- §5.5: blanks and tabs around a header's value are not part of it. The parser leaves those at its
  end, and a client or proxy that adds one must not become another caller.
- §5.3: several lines of a header that is a list are one list (`listed_header`).
- §9.3.2: HEAD is GET without the body. The app sees a GET, so every GET route has HEAD, with the
  same status and headers. `sent_method` is for what depends on the method that was sent.
"""

from typing import Any, Generic, TypeVar

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Send

SENT_METHOD = "atelier_sent_method"  # in the ASGI scope, for HEAD only
BLANKS = b" \t"
HTTP = ScopeType.HTTP.value  # looked up once: a member of an enum is a property

App = TypeVar("App", bound=ASGIApp)
RawHeader = tuple[bytes, bytes]


class HttpSemantics(Generic[App]):
    """The outermost ASGI middleware."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Pass on the request as the app expects it."""
        if scope["type"] == HTTP:
            scope["headers"] = trimmed(scope["headers"])  # nobody before this reads them
            if scope["method"] == "HEAD":
                scope = {**scope, "method": "GET", SENT_METHOD: "HEAD"}
                send = without_body(send)
        await self.app(scope, receive, send)


def trimmed(headers: Any) -> list[RawHeader]:
    """The headers, without blanks and tabs around their values."""
    return [(name, value.strip(BLANKS)) for name, value in headers]


def without_body(send: Send) -> Send:
    """Sends the same response without its body; its Content-Length stays, as HEAD wants it."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message["body"] = b""
        await send(message)

    return send_head


def listed_header(scope: Any, name: bytes) -> str | None:
    """The value of a header that is a list, from all its lines; None if there is none."""
    lines = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return ", ".join(lines) if lines else None


def is_encoded(content_encoding: str | None) -> bool:
    """Whether the body with this header is encoded; `identity` and "" say that it is not."""
    return (content_encoding or "").lower() not in {"", "identity"}


def sent_method(scope: Any) -> str:
    """The method that the client sent: HEAD where the app sees a GET."""
    method: str = scope.get(SENT_METHOD) or scope["method"]
    return method
