"""One attempt at a delivery: a signed POST over a checked transport, and what came of it.

The request goes to the transport itself, not through a client: nothing follows redirects, keeps
cookies or reads proxies from the environment. Of the answer only the beginning is read.
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx
import msgspec

from backend.ssrf_transport import NotPublic
from backend.webhook_endpoints.schemas import DeliveryError
from backend.webhook_endpoints.secrets import signature_header

ATTEMPT_SECONDS = 15.0
READ_BYTES = 4096  # of an answer, at most
KEPT_CHARACTERS = 500  # of an answer, for the log
USER_AGENT = "Atelier-Webhooks/1"


class OutgoingEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent: the event's ID and body, where to, and the secrets to sign it with."""

    event_id: str
    body: str
    url: str
    secrets: tuple[str, ...]


class AttemptResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an attempt. Without an `error` it was delivered.

    `wait` is what a 429 or a 503 asks for in Retry-After.
    """

    error: DeliveryError | None
    ms: int
    status: int | None = None
    body: str | None = None
    wait: timedelta | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the receiver says that the endpoint is no more."""
        return self.status == HTTPStatus.GONE


async def attempt_delivery(
    transport: httpx.AsyncBaseTransport, event: OutgoingEvent
) -> AttemptResult:
    """Send the event once. Never raises for what the receiver or the network does."""
    started = time.monotonic()

    def result(error: DeliveryError | None, **facts: Any) -> AttemptResult:
        return AttemptResult(error=error, ms=round((time.monotonic() - started) * 1000), **facts)

    try:
        async with asyncio.timeout(ATTEMPT_SECONDS):
            response = await transport.handle_async_request(request_for(event))
            body = await beginning_of(response)
    except (TimeoutError, httpx.TimeoutException):
        return result("TIMEOUT")
    except (NotPublic, httpx.UnsupportedProtocol):
        return result("ADDRESS_NOT_PUBLIC")
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        return result("CONNECTION_FAILED")
    status = response.status_code
    is_delivered = 200 <= status < 300
    return result(
        None if is_delivered else "STATUS", status=status, body=body, wait=requested_pause(response)
    )


def request_for(event: OutgoingEvent) -> httpx.Request:
    """The signed request, as Standard Webhooks have it."""
    body, timestamp = event.body.encode(), int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "Accept-Encoding": "identity",
        "webhook-id": event.event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature_header(event.secrets, event.event_id, timestamp, body),
    }
    limits = httpx.Timeout(ATTEMPT_SECONDS).as_dict()
    return httpx.Request(
        "POST", event.url, headers=headers, content=body, extensions={"timeout": limits}
    )


async def beginning_of(response: httpx.Response) -> str:
    """The first characters of the answer, as text that Postgres can store."""
    found = b""
    try:
        async for chunk in response.aiter_raw():
            found += chunk
            if len(found) >= READ_BYTES:
                break
    finally:
        await response.aclose()
    text = found[:READ_BYTES].decode("utf-8", "replace").replace("\0", "")
    return text[:KEPT_CHARACTERS]


def requested_pause(response: httpx.Response) -> timedelta | None:
    """How long a 429 or a 503 asks to stay away; None if it does not say, or anything else."""
    if response.status_code not in {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    }:
        return None
    told = response.headers.get("Retry-After", "")
    try:
        if told.strip().isdecimal():
            return timedelta(seconds=min(int(told), 10**8))
        return parsedate_to_datetime(told).astimezone(UTC) - datetime.now(UTC)
    except (ValueError, TypeError, OverflowError):
        return None
