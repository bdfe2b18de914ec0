"""Twice the bytes take about twice the time in every parser of untrusted input.

One request whose work grows with the square of its length stops a process for minutes. Each parser
is given the same nasty text at growing sizes up to the largest that can reach it, and each doubling
may cost 2.5 times the processor's time of this thread. A parser in C cannot be counted by steps, so
it is time; what others do on the machine can only add to it, and so the best of some tries counts.
Sizes are compared over three doublings: linear work takes 8 times as long, the square 64 times, and
at most 15.6 times are allowed, so that a step of the allocator's does not decide.
"""

import asyncio
import contextlib
import io
import time
from collections.abc import Callable
from typing import Any

import pytest
from multipart import MultipartError

from backend.app import DEFAULT_MAX_BODY_BYTES
from backend.auth.app_proxy import verify_app_proxy
from backend.auth.session_token import verify_session_token
from backend.auth.shop_domain import is_shop_domain, normalized_shop_domain
from backend.auth.signed_request import MAX_QUERY, shop_named
from backend.auth.webhook_hmac import verify_webhook
from backend.batches.schemas import BatchRequest
from backend.body import decode_strictly, require_shallow
from backend.errors import AtelierError, ConfigurationError
from backend.jobs.etags import matches
from backend.jobs.ids import is_public_id
from backend.jobs.listing import moment
from backend.shops.product_image import ProductImageRefused, require_allowed_url
from backend.shops.token_encryption import TokenKeys, TokenUnreadable, UnknownKey, generate_key
from backend.spool import pieces
from backend.uploads.form import boundary_of, copy_file_part
from backend.web import chosen_request_id
from tests.backend.auth import signing
from tests.backend.uploads.multipart_forms import BOUNDARY, form
from tests.security.form_request import FormRequest
from tests.security.offline_app import offline_app
from webhooks.payloads import delivery_from

Parser = Callable[[bytes], Any]

SMALLEST = 2048  # bytes
HEADER, LINES = 16_384, 65_536  # bytes: one line of a header as nginx has it, and all of them
DOUBLINGS = 3  # between two sizes that are compared
MORE = 2.5**DOUBLINGS  # times the work
UNSEEN = 0.004  # seconds, too short to be told from the clock's noise and to harm anybody
TRIES = 12

SPECIAL = b"\"\\'[]{}(),;:=&%+-._/~*<>#?@`$ \t\r\n0a\0\xff"
UNITS = [*(bytes([byte]) for byte in SPECIAL), "é".encode(),
         b'\\"', b'"\\', b'"",', b"[]", b'{"a":', b"\\ud800",
         b"a=b&", b"%41", b"%zz", b"shop=a.myshopify.com&",
         b'W/"1",', b"a.myshopify.com", b"../", b" - at `$unknown field `", b"\r\n",
         f"--{BOUNDARY}\r\n".encode(), f"\r\n--{BOUNDARY[:-1]}".encode()]  # fmt: skip
OPENINGS = [b'"', b'{"', b'{"product_id":"']  # of what is JSON

SECRETS = [signing.SECRET, signing.PREVIOUS_SECRET]
KEYS = TokenKeys(generate_key())


def text_of(raw: bytes) -> str:
    """The bytes as a header's text is handed on."""
    return raw.decode("latin-1")


def parse_strictly(raw: bytes) -> None:
    """As every JSON body is read."""
    decode_strictly(raw, BatchRequest)


def as_proxied(raw: bytes) -> None:
    """As a storefront's query is read: the signature is good, whoever made the rest."""
    query = b"a=" + raw.replace(b"\n", b"&")
    verify_app_proxy(query, SECRETS, now=signing.NOW, allowed=frozenset({"a"}))


def as_token(raw: bytes) -> None:
    """In each of a session token's places."""
    text = text_of(raw)
    for token in (text, f"{text}.e30.AA", f"e30.{text}.AA", f"e30.e30.{text}"):
        verify_session_token(token, api_key=signing.API_KEY, secrets=SECRETS)


def as_delivery(raw: bytes) -> None:
    """As a webhook's body and as its headers are read."""
    names = (b"x-shopify-shop-domain", b"x-shopify-topic", b"x-shopify-webhook-id")
    good = [(name, b"north.myshopify.com") for name in names]
    for headers in (good, [(names[0], raw)], [(name, raw[:255]) for name in names] * 20):
        with contextlib.suppress(AtelierError):
            delivery_from(headers, raw)
    verify_webhook(raw, b"A" * 43 + b"=", SECRETS)


def as_text(raw: bytes) -> None:
    """As ids, times, tags, ids of requests, names of shops and addresses of pictures."""
    text = raw.decode(errors="surrogateescape")
    is_public_id(text)
    matches(text, '"1.2.3"')
    scope: Any = {"headers": [(b"x-request-id", raw)]}
    chosen_request_id(scope)
    is_shop_domain(text)
    normalized_shop_domain(text)
    with contextlib.suppress(AtelierError):
        moment("created_after", raw.decode(errors="replace"))
    with contextlib.suppress(ProductImageRefused):
        require_allowed_url(f"https://{raw.decode(errors='replace')}")
    with contextlib.suppress(TokenUnreadable, UnknownKey):
        KEYS.decrypt(text_of(raw), shop=signing.SHOP, column="access_token")
    with contextlib.suppress(ConfigurationError):
        TokenKeys(text_of(raw))


def post_form(raw: bytes) -> None:
    """As an upload's body: by itself, as the part's headers, and as its content."""
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="'.encode()
    for body in (raw, part + raw, form(("file", raw))):
        request: Any = FormRequest(f"multipart/form-data; boundary={BOUNDARY}", body, 65_536)
        with contextlib.suppress(MultipartError, AtelierError):
            run(copy_file_part(pieces(request), boundary_of(request), io.BytesIO()))


def run(work: Any) -> None:
    """Run a coroutine that waits for nothing but itself."""
    LOOP.run_until_complete(work)


LOOP = asyncio.new_event_loop()


async def request_app(
    path: bytes, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    """One request to the app itself, without a socket."""
    scope: Any = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": text_of(path), "raw_path": path, "query_string": query,
        "root_path": "", "headers": headers, "client": ("127.0.0.1", 1), "server": ("a", 80),
    }  # fmt: skip

    async def receive_body() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(_message: Any) -> None:
        pass

    await offline_app()(scope, receive_body, send)


PATHS = [b"/webhooks", b"/v1/jobs", b"/v1/uploads", b"/proxy/v1/product-to-model-direct"]


def as_a_header(raw: bytes) -> None:
    """Through the whole app, in each header that something of it or of its framework reads."""
    value = raw.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
    for name in (b"authorization", b"x-shopify-hmac-sha256", b"content-type", b"cookie", b"accept",
                 b"idempotency-key", b"if-none-match", b"x-request-id", b"host"):  # fmt: skip
        for path in PATHS[:2]:
            run(request_app(path, b"", [(name, value)], b"{}"))


def as_many_headers(raw: bytes) -> None:
    """Through the whole app: as many headers as there are bytes, by one name and by many."""
    for path in PATHS[:2]:
        run(request_app(path, b"", [(b"a", b"b")] * (len(raw) // 4), b"{}"))
        run(request_app(path, b"", [(b"%d" % n, b"b") for n in range(len(raw) // 8)], b"{}"))


def as_query(raw: bytes) -> None:
    """Through the whole app."""
    for path in PATHS:
        run(request_app(path, raw, [(b"x-shopify-hmac-sha256", b"A" * 43 + b"=")], b"{}"))


def as_path(raw: bytes) -> None:
    """Through the whole app, as its router reads it."""
    run(request_app(b"/v1/jobs/" + raw, b"", [], b""))


PARSERS: dict[str, tuple[Parser, int]] = {
    "the look at nesting": (require_shallow, DEFAULT_MAX_BODY_BYTES),
    "JSON bodies": (parse_strictly, DEFAULT_MAX_BODY_BYTES // 2),
    "deliveries": (as_delivery, 1_000_000),  # of 5 MB
    "forms": (post_form, 1_000_000),  # of 25 MB
    "session tokens": (as_token, LINES),
    "proxied queries": (as_proxied, LINES),
    "signed queries": (lambda raw: shop_named(raw, signing.NOW), max(MAX_QUERY, LINES)),
    "ids, times, tags, domains, addresses": (as_text, LINES),
    "headers": (as_a_header, HEADER),
    "queries": (as_query, LINES),
    "paths": (as_path, HEADER),
}


def seconds(parse: Parser, raw: bytes) -> float:
    """The processor's time that it takes, to its refusal or its end."""
    started = time.thread_time()
    with contextlib.suppress(AtelierError):
        parse(raw)
    return time.thread_time() - started


def is_linear(parse: Parser, part: bytes, whole: bytes) -> bool:
    """Whether each doubling is at most 2.5 times the work, by the best of some tries."""
    shorter = longer = float("inf")
    for _ in range(TRIES):
        longer = min(longer, seconds(parse, whole))
        if longer <= UNSEEN:
            return True
        shorter = min(shorter, seconds(parse, part))
        if longer <= MORE * shorter:
            return True
    return False


def grown(unit: bytes, size: int, beginning: bytes = b"") -> bytes:
    """The text at that size."""
    return (beginning + unit * (size // len(unit) + 1))[:size]


def sizes(most: int) -> list[int]:
    """Each twice the one before, up to the most that can come."""
    found = [most]
    while found[0] // 2 >= SMALLEST:
        found.insert(0, found[0] // 2)
    return found


def assert_linear(parse: Parser, most: int, unit: bytes, beginning: bytes = b"") -> None:
    """Small sizes first: one that is not linear is told before it takes minutes."""
    for part, whole in zip(sizes(most), sizes(most)[DOUBLINGS:], strict=False):
        texts = [grown(unit, size, beginning) for size in (part, whole)]
        assert is_linear(parse, *texts), f"{beginning + unit!r} at {whole} bytes"


@pytest.mark.parametrize("name", PARSERS)
def test_parsing_time_grows_linearly_with_the_input(name: str) -> None:
    parse, most = PARSERS[name]
    for unit in UNITS:
        for beginning in [b"", *(OPENINGS if parse in (require_shallow, parse_strictly) else ())]:
            assert_linear(parse, most, unit, beginning)


def test_parsing_time_grows_linearly_with_the_headers() -> None:
    assert_linear(as_many_headers, LINES, b"a")
