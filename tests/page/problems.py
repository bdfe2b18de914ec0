"""What goes wrong in a browser without failing a test by itself; here each of it does."""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, ConsoleMessage, Request, Response, WebError

# The browser's own line for an answer or a request that failed: `answered` and `failed` name it.
_NETWORK_LINE = "Failed to load resource"
_GIVEN_UP = "net::ERR_ABORTED"  # by the page itself, which has moved on


@dataclass
class Problems:
    """Console errors, uncaught errors, CSP violations, failed requests and error answers."""

    found: list[str] = field(default_factory=list)
    allowed: list[re.Pattern[str]] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        """Collect the problems of all pages and frames of this context."""
        context.on("console", self._console)
        context.on("weberror", self._uncaught)
        context.on("requestfailed", self._failed)
        context.on("response", self._answered)

    def allow(self, pattern: str) -> None:
        """Expect problems in which this is found: `allow("422 PUT /v1/settings")`."""
        self.allowed.append(re.compile(pattern))

    @property
    def unexpected(self) -> list[str]:
        """The problems that no pattern allows."""
        return [
            problem
            for problem in self.found
            if not any(pattern.search(problem) for pattern in self.allowed)
        ]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(_NETWORK_LINE):
            self.found.append(f"console.error: {message.text[:500]}")

    def _uncaught(self, error: WebError) -> None:
        self.found.append(f"uncaught: {error.error}")

    def _failed(self, request: Request) -> None:
        if request.failure != _GIVEN_UP:
            self.found.append(f"failed {request.method} {path(request.url)} {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            method = response.request.method
            self.found.append(f"{response.status} {method} {path(response.url)}")


def path(url: str) -> str:
    """The path of a URL. Without its query, which may hold a token or a signature."""
    return urlsplit(url).path
