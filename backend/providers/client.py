"""HTTP to a provider, and which of its failures says what about the request.

The question is always whether the provider may have accepted a request, for then it may be paid.
It has not if no connection was made, or if it answered with a status below 500. It may have if the
answer is lost, unreadable or a 5xx: a gateway answers so too after the request has gone through.
"""

import asyncio
import math
import re
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import time
from typing import Any, TypeVar

import httpx
import msgspec

from backend.failures.codes import PROVIDER_MISCONFIGURED
from backend.providers.provider import AnswerLost, ProviderFailed, ProviderUnavailable
from backend.ssrf_transport import PublicInternet, certificates

T = TypeVar("T")

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
MAX_ANSWER_BYTES = 1_000_000
ACCOUNT_RETRY = 600.0  # seconds, until an operator may have filled an empty account
MAX_REASON = 200  # characters of a provider's own words
# A key, a model or an address that is wrong here.
MISCONFIGURED = frozenset({401, 403, 404, 405})
# Nothing was sent yet.
NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.ProxyError,
)


class ProviderAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer whose body was read whole."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def is_ok(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300

    def read(self, kind: type[T]) -> T | None:
        """The body as that struct; None if it is none."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


class ProviderHttp:
    """The client of one provider. `origin` is the one to which its key may be sent.

    `transport` stands in for the network in tests.
    """

    def __init__(
        self,
        base_url: str,
        headers: dict[str, str],
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        read_seconds: float = READ_SECONDS,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.origin = origin_of(base_url)
        self.headers = headers
        self.read_seconds = read_seconds
        self.max_answer_bytes = max_answer_bytes
        # Submissions never reuse a connection: one that the provider has just closed would look
        # like a lost answer.
        self.fresh = plain_client(transport, keep_alive=False, read_seconds=read_seconds)
        self.kept = plain_client(transport, keep_alive=True, read_seconds=READ_SECONDS)

    async def submit(
        self,
        path: str,
        body: Any,
        *,
        query: dict[str, str] | None = None,
        also: frozenset[int] = frozenset(),
        **headers: str,
    ) -> ProviderAnswer:
        """POST a request that is paid if accepted.

        The answer has a status below 500, or one that is named in `also`.

        Raises `ProviderUnavailable` if the provider has certainly not accepted it, and `AnswerLost`
        if it may have.
        """
        url = httpx.URL(self.base_url + path, params=query or None)
        try:
            answer = await self._send(self.fresh, "POST", url, body, headers)
        except NOT_SENT as error:
            raise ProviderUnavailable(f"{self.origin} cannot be reached: {error}") from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise AnswerLost(f"{self.origin}: {type(error).__name__}") from error
        if answer.status >= 500 and answer.status not in also:
            raise AnswerLost(f"{self.origin}: HTTP {answer.status}")
        return answer

    async def ask(self, method: str, url: str, *, may_refuse: bool = False) -> ProviderAnswer:
        """A question that costs nothing. Raises `ProviderUnavailable`; a key that is refused is
        such an outage, because the operator can mend it and the paid result is still there.

        With `may_refuse`, the answer may have any status but those of an outage.
        """
        if origin_of(url) != self.origin:
            raise ProviderUnavailable(f"{origin_of(url)} is not {self.origin}")
        try:
            answer = await self._send(self.kept, method, httpx.URL(url), None, {})
        except (httpx.HTTPError, TimeoutError) as error:
            raise ProviderUnavailable(f"{self.origin}: {type(error).__name__}") from error
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise ProviderUnavailable(
                f"{self.origin}: HTTP 429", retry_after=seconds_to_wait(answer)
            )
        if answer.is_ok or (may_refuse and answer.status not in {401, 403}):
            return answer
        raise ProviderUnavailable(f"{self.origin}: HTTP {answer.status}")

    async def close(self) -> None:
        """Close the connections."""
        await self.fresh.aclose()
        await self.kept.aclose()

    async def _send(
        self,
        client: httpx.AsyncClient,
        method: str,
        url: httpx.URL,
        body: Any,
        headers: dict[str, str],
    ) -> ProviderAnswer:
        """One request, its answer read up to the cap. Raises `httpx.HTTPError`, `TimeoutError`."""
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            sent["Content-Type"] = "application/json"
        async with (
            asyncio.timeout(CONNECT_SECONDS + 2 * self.read_seconds),
            client.stream(method, url, content=content, headers=sent) as response,
        ):
            read = await read_capped(response, self.max_answer_bytes)
            return ProviderAnswer(status=response.status_code, headers=response.headers, body=read)


def require_usable(answer: ProviderAnswer) -> None:
    """Raise for what every provider means alike: its limits, an empty account, a refused key."""
    why = f"HTTP {answer.status}"
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise ProviderUnavailable(why, retry_after=seconds_to_wait(answer))
    if answer.status == HTTPStatus.PAYMENT_REQUIRED:
        raise ProviderUnavailable(f"{why}, the account is empty", retry_after=ACCOUNT_RETRY)
    if answer.status in MISCONFIGURED or 300 <= answer.status < 400:
        raise ProviderFailed(PROVIDER_MISCONFIGURED, provider_code=str(answer.status))


class TooLong(httpx.HTTPError):
    """The body is longer than its cap."""


class CodedBody(httpx.HTTPError):
    """The body is compressed: few bytes may become many."""


async def read_capped(response: httpx.Response, most: int) -> bytes:
    """The body. Raises `TooLong` once it is longer than `most` bytes, and `CodedBody`."""
    chunks, size = [], 0
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise CodedBody("compressed, though it was asked for as it is")
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > most:
            raise TooLong(f"more than {most} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def plain_client(
    transport: httpx.AsyncBaseTransport | None, *, keep_alive: bool, read_seconds: float
) -> httpx.AsyncClient:
    """For the addresses that the operator has set. They are trusted, and may be on this machine."""
    return httpx.AsyncClient(
        verify=certificates(),
        transport=transport,
        timeout=httpx.Timeout(read_seconds, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_keepalive_connections=None if keep_alive else 0),
        follow_redirects=False,
        trust_env=False,
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
    )


def checked_client(
    own_origin: str, transport: httpx.AsyncBaseTransport | None, *, max_redirects: int
) -> httpx.AsyncClient:
    """For the addresses that a provider names: public ones, and the one the operator has set."""
    is_here = transport is None and own_origin.startswith("http:")
    own = httpx.AsyncHTTPTransport(verify=certificates(), trust_env=False)
    return httpx.AsyncClient(
        transport=transport or PublicInternet(verify=certificates()),
        mounts={own_origin: own} if is_here else {},
        timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
        follow_redirects=True,
        max_redirects=max_redirects,
        trust_env=False,
        headers={"Accept": "image/*", "Accept-Encoding": "identity"},
    )


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL; an empty string if it has none."""
    try:
        parts = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        return ""
    if not parts.host or parts.userinfo:
        return ""
    port = f":{parts.port}" if parts.port is not None else ""
    return f"{parts.scheme}://{parts.raw_host.decode('ascii')}{port}"


def seconds_to_wait(answer: ProviderAnswer) -> float | None:
    """What the header asks us to wait, in seconds: at most an hour."""
    value = answer.headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), 3600.0) if math.isfinite(seconds) else None


def safe_reason(text: str) -> str:
    """A provider's own words, for a merchant: one short line without URLs and data.

    A URL of ours is as good as the picture behind it.
    """
    line = " ".join(re.sub(r"\S*(?:://|data:|base64,)\S*", "(…)", text[:4000]).split())
    line = "".join(each for each in line if each.isprintable())
    return line if len(line) <= MAX_REASON else line[: MAX_REASON - 1].rstrip() + "…"
