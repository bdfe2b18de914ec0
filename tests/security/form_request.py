"""A request for the multipart parser alone."""

from collections.abc import AsyncIterator

import httpx


class FormRequest:
    """As much of a request as the form's reader asks for."""

    def __init__(self, content_type: str, body: bytes, piece: int = 37) -> None:
        self.headers: dict[str, str] = {}
        message = httpx.Headers({"content-type": content_type})
        kind, _, rest = message["content-type"].partition(";")
        boundary = rest.partition("boundary=")[2].strip('" ')
        self.content_type = (kind.strip(), {"boundary": boundary} if boundary else {})
        self.body, self.piece = body, piece

    async def stream(self) -> AsyncIterator[bytes]:
        """The body, in pieces of so many bytes."""
        for start in range(0, len(self.body), self.piece):
            yield self.body[start : start + self.piece]
