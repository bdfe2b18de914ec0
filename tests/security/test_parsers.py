"""Every parser of untrusted input, fuzzed with nearly valid input (G-05).

Nothing but the parser's own refusals may be raised, and nothing may pass that an independent
reading of the documentation does not pass. `make fuzz` does many more (`PARSER_EXAMPLES`).
"""

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import os
import time
from typing import Any

import httpx
import msgspec
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from multipart import MultipartError

from backend.auth.app_proxy import unknown_parameters, verify_app_proxy
from backend.auth.session_token import verify_session_token
from backend.auth.shop_domain import is_shop_domain
from backend.auth.signed_request import signed_request, verify_signed_request
from backend.auth.webhook_hmac import verify_webhook
from backend.batches.schemas import BatchRequest
from backend.body import decode_strictly
from backend.errors import (
    BadRequest,
    ConfigurationError,
    ImageTooLarge,
    ImageTypeUnsupported,
    InvalidRequest,
    ShopifyUnavailable,
)
from backend.errors.images import UnusableImage
from backend.imaging.decode import decode, harden_libvips
from backend.imaging.formats import ImageRefused as PictureRefused
from backend.jobs.etags import matches
from backend.jobs.ids import is_public_id, new_public_id
from backend.jobs.listing import moment
from backend.publications.schemas import PublicationRequest
from backend.renderers.local import LocalRenderer
from backend.rules.schemas import SettingsRequest
from backend.shops.product_image import ProductImageRefused, require_allowed_url
from backend.shops.response_status import retry_after
from backend.shops.shopify_responses import (
    OfflineToken,
    ProductAnswer,
    cost_of,
    json_object,
    readable,
)
from backend.shops.token_encryption import TokenKeys, TokenUnreadable, UnknownKey, generate_key
from backend.spool import pieces
from backend.uploads.form import boundary_of, copy_file_part
from backend.uploads.image_sanitizer import ImageSanitizer
from backend.web import chosen_request_id
from backend.workflows import WORKFLOWS
from tests.backend.auth import signing
from tests.backend.auth.signing import API_KEY, FOREIGN_SECRET, PREVIOUS_SECRET, SECRET, SHOP
from tests.backend.imaging import heif_files
from tests.backend.imaging.files import jpeg, photo, png
from tests.backend.uploads.multipart_forms import BOUNDARY, form
from tests.scenarios import webhook_headers
from tests.security import reference_signatures
from tests.security.form_request import FormRequest
from webhooks import payloads

EXAMPLES = int(os.environ.get("PARSER_EXAMPLES", "50"))  # for each parser
SECRETS = [SECRET, PREVIOUS_SECRET, b""]

many = hypothesis_settings(max_examples=EXAMPLES, deadline=None)
few = hypothesis_settings(max_examples=max(EXAMPLES // 5, 1), deadline=None)

NASTY = [
    b"", b"\0", b"\n", b"\r\n", b" ", b"\t", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"\xef\xbb\xbf",
    b"=", b"==", b"&", b"%", b"%00", b"%0a", b"%ff", b"+", b",", b".", b"..", b"/", b"\\", b'"',
    b"[", b"]", b"{", b"}", b"[" * 2000, b'{"a":' * 2000, b"9" * 5000, b"-0", b"1e999", b"NaN",
    b"null", b"true", b'"\\ud800"', b"signature=", b"&shop=evil.com", b"logged_in_customer_id=7",
    b"none", b"HS512", b"alg", b"@", b"#", b"?", b":443", "١".encode(), b"K",
]  # fmt: skip


@st.composite
def mangled(draw: st.DrawFn, *good: bytes) -> bytes:
    """One of the good ones after a few accidents: cut, doubled, spliced, or a byte changed."""
    data = draw(st.sampled_from(good))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        piece = draw(
            st.sampled_from([*NASTY, data[start:end], data[:start], data[end:]])
            | st.binary(max_size=8)
        )
        data = data[:start] + piece + data[end:]
    return data


anything = st.binary(max_size=200)


def text_of(data: bytes) -> str:
    """The bytes as a header's text is handed on."""
    return data.decode("latin-1")


# The four MACs


BODY = b'{"id":1,"title":"Tee","shop_domain":"north-wind.myshopify.com"}'
SIGNATURES = [signing.webhook_signature(BODY, secret) for secret in (SECRET, PREVIOUS_SECRET)]


@many
@given(
    mangled(BODY) | anything,
    mangled(*SIGNATURES, signing.webhook_signature(BODY, FOREIGN_SECRET)) | anything,
    st.sampled_from([None, *SECRETS, FOREIGN_SECRET]),
)
def test_webhook_verification_matches_the_oracle(
    body: bytes, signature: bytes, signed_with: bytes | None
) -> None:
    if signed_with is not None:
        signature = signing.webhook_signature(body, signed_with)
    passed = verify_webhook(body, signature, SECRETS)
    assert passed == reference_signatures.webhook_is_signed(body, signature, SECRETS)


def claims() -> bytes:
    """A good payload, as of now."""
    now = int(time.time())
    return json.dumps(signing.claims(exp=now + 60, nbf=now, iat=now)).encode()


CLAIMS = claims()
TOKEN = signing.session_token(CLAIMS).encode()
HEADER = b'{"alg":"HS256","typ":"JWT"}'
HEADERS = [HEADER, b'{"alg":"none"}', b'{"alg":"HS512"}', b'{"alg":"hs256"}', b'{"alg":["HS256"]}',
           b'{"alg":"HS256","crit":["b64"],"b64":false}',
           b'{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}']  # fmt: skip


@many
@given(
    mangled(TOKEN) | anything,
    st.tuples(mangled(*HEADERS), mangled(CLAIMS)),
    st.sampled_from([None, *SECRETS, FOREIGN_SECRET]),
)
def test_session_token_verification_matches_the_oracle(
    token: bytes, parts: tuple[bytes, bytes], signed_with: bytes | None
) -> None:
    text = text_of(token)
    if signed_with is not None:
        text = signing.session_token(parts[1], signed_with, parts[0])
    verified = verify_session_token(text, api_key=API_KEY, secrets=SECRETS)
    if verified is not None:
        assert reference_signatures.token_is_signed(text, SECRETS)
        said = reference_signatures.claims_of(text.split(".")[1])
        assert (said["dest"], said["iss"]) == (f"https://{verified.shop}", f"{said['dest']}/admin")
        assert said["aud"] == API_KEY and said["sub"] == verified.user_id and said["sid"]


NOW = signing.NOW
PAIRS = {
    "shop": SHOP,
    "timestamp": str(NOW),
    "path_prefix": "/apps/atelier",
    "logged_in_customer_id": "",
    "since": "3",
}
QUERY = signing.query(PAIRS.items())
PROXIED = signing.proxy_query(PAIRS.items())


def signed_as_it_reads(query: bytes, secret: bytes) -> bytes:
    """The query with the signature that Shopify would give it, read as a browser would."""
    return signing.proxy_query(httpx.QueryParams(text_of(query)).multi_items(), secret)


@many
@given(
    mangled(PROXIED, QUERY + b"&signature=") | anything,
    mangled(QUERY),
    st.sampled_from([None, *SECRETS, FOREIGN_SECRET]),
)
def test_app_proxy_verification_matches_the_oracle(
    query: bytes, unsigned: bytes, signed_with: bytes | None
) -> None:
    if signed_with is not None:
        query = signed_as_it_reads(unsigned, signed_with)
    allowed = frozenset({"since"})
    verified = verify_app_proxy(query, SECRETS, now=NOW, allowed=allowed)
    unknown = unknown_parameters(query, SECRETS, now=NOW, allowed=allowed)
    assert verified is None or not unknown
    if unknown:
        assert reference_signatures.query_is_proxied(query, SECRETS)
    if verified is not None:
        assert reference_signatures.query_is_proxied(query, SECRETS)
        assert is_shop_domain(verified.shop)
        assert query.count(b"logged_in_customer_id") <= 1
        assert verified.params.keys() <= allowed


URL, REQUEST_SIGNATURE = signed_request(
    SECRET, method="POST", url="https://a.example/v1/jobs?limit=2", shop=SHOP, body=BODY, now=NOW
)
SIGNED_QUERY = URL.partition("?")[2].encode()


@many
@given(
    mangled(REQUEST_SIGNATURE.encode()) | anything,
    st.sampled_from(["POST", "post", "GET"]),
    mangled(b"/v1/jobs"),
    mangled(SIGNED_QUERY) | anything,
    mangled(BODY),
    st.sampled_from([None, *SECRETS, FOREIGN_SECRET]),
)
def test_signed_request_verification_matches_the_oracle(
    signature: bytes,
    method: str,
    path: bytes,
    query: bytes,
    body: bytes,
    signed_with: bytes | None,
) -> None:
    request: dict[str, Any] = {"method": method, "path": path, "query": query, "body": body}
    if signed_with is not None:
        key = reference_signatures.mac(signed_with, b"atelier/signed-request/v1")
        digest = hashlib.sha256(body).hexdigest().encode()
        text = b"\n".join([method.upper().encode(), path, query, digest])
        signature = base64.b64encode(reference_signatures.mac(key, text))
    told = {name: value for name, value in request.items() if name != "body"}
    told["digest"] = hashlib.sha256(body).hexdigest()
    shop = verify_signed_request(signature, SECRETS, now=NOW, **told)
    if shop is not None:
        assert reference_signatures.request_is_signed(signature, SECRETS, **request)
        assert is_shop_domain(shop)


# After authentication


NAMES = [b"x-shopify-topic", b"x-shopify-shop-domain", b"x-shopify-webhook-id"]


@many
@given(
    mangled(BODY, b'{"shop_domain":"a.myshopify.com","customer":{"id":1},"orders_to_redact":[]}'),
    st.lists(st.tuples(st.sampled_from(NAMES), mangled(b"app/uninstalled", SHOP.encode()))),
)
def test_webhook_headers_and_payloads_parse_or_are_refused(
    body: bytes, extra: list[tuple[bytes, bytes]]
) -> None:
    headers = [(name.lower(), value) for name, value in webhook_headers(body)]
    try:
        delivery = payloads.delivery_from([*headers, *extra], body)
    except BadRequest:
        return
    assert not extra, "none of these may be there twice"
    assert type(json.loads(body)) is dict
    assert is_shop_domain(delivery.shop_domain)
    for kind in (
        payloads.ProductPayload,
        payloads.ShopPayload,
        payloads.ScopesPayload,
        payloads.DataRequestPayload,
        payloads.CustomerRedactPayload,
        payloads.ShopRedactPayload,
    ):
        with contextlib.suppress(payloads.PayloadMismatch):
            delivery.read(kind)


BODIES: dict[type[msgspec.Struct], bytes] = {
    BatchRequest: b'{"workflow":"catalog-image","product_ids":["gid://shopify/Product/1"]}',
    PublicationRequest: b'{"artifacts":[{"sha256":"%s"}],"product_id":"gid://shopify/Product/1"}'
    % (b"0" * 64),
    SettingsRequest: b'{"rules":[{"workflow":"catalog-image"}],"daily_credit_cap":7}',
    **{
        workflow.request: b'{"product_id":"gid://shopify/Product/1","outputs":[{"size":1024}]}'
        for workflow in WORKFLOWS.values()
    },
}


@many
@given(st.data())
def test_json_bodies_parse_or_are_refused(data: st.DataObject) -> None:
    kind, good = data.draw(st.sampled_from(list(BODIES.items())))
    with contextlib.suppress(BadRequest, InvalidRequest):
        found = decode_strictly(data.draw(mangled(good)), kind)
        assert isinstance(found, msgspec.Struct)


@many
@given(mangled(new_public_id().encode(), b"2026-11-25T10:00:00Z", b'W/"1.2.3", "4.5.6"', b"*"))
def test_ids_cursors_times_and_etags_parse_or_are_refused(raw: bytes) -> None:
    text = raw.decode(errors="surrogateescape")
    assert is_public_id(text) == (
        len(raw) == 26
        and raw[:1] in b"01234567"
        and not set(raw) - set(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    )
    with contextlib.suppress(InvalidRequest):
        moment("created_after", raw.decode(errors="replace"))  # as queries are decoded
    assert isinstance(matches(text, '"1.2.3"'), bool)
    scope: Any = {"headers": [(b"x-request-id", raw)]}
    request_id = chosen_request_id(scope)
    assert request_id.isascii() and request_id.replace("-", "").replace("_", "").isalnum()


KEYS = TokenKeys(generate_key())
SEALED = KEYS.encrypt("shpat_secret", shop=SHOP, column="access_token")


@many
@given(mangled(SEALED.encode()))
def test_encrypted_tokens_decrypt_or_are_refused(raw: bytes) -> None:
    stored = text_of(raw)
    try:
        opened = KEYS.decrypt(stored, shop=SHOP, column="access_token")
    except (TokenUnreadable, UnknownKey):
        return
    assert stored == SEALED or opened == stored, "its own bytes, or a plain one of before"


@many
@given(mangled(generate_key().encode(), f"{generate_key()},{generate_key()}".encode()))
def test_token_keys_parse_or_are_refused(raw: bytes) -> None:
    with contextlib.suppress(ConfigurationError):
        TokenKeys(text_of(raw))


@many
@given(
    mangled(b"https://cdn.shopify.com/s/files/1/x.jpg", b"https://cdn.shopify.com@evil.example/")
)
def test_only_cdn_image_urls_are_allowed(raw: bytes) -> None:
    url = raw.decode(errors="replace")
    try:
        require_allowed_url(url)
        called = httpx.URL(url)
    except (ProductImageRefused, httpx.InvalidURL):
        return
    assert (called.scheme, called.host, called.port) == ("https", "cdn.shopify.com", None)
    assert called.userinfo == b""


ANSWERS = [
    b'{"data":{"product":{"id":"gid://shopify/Product/1","title":"T","media":{"nodes":[]}}}}',
    b'{"access_token":"shpat_1","scope":"read_products","expires_in":3600,"refresh_token":"shprt_1"}',
    b'{"extensions":{"cost":{"requestedQueryCost":1,"throttleStatus":{"currentlyAvailable":1,'
    b'"restoreRate":50}}}}',
]


@many
@given(mangled(*ANSWERS), mangled(b"2.0", b"-1"))
def test_shopify_responses_parse_or_are_refused(raw: bytes, wait: bytes) -> None:
    """Shopify is trusted, but a proxy may answer in its place with an error page."""
    seconds = retry_after(httpx.Response(429, headers=[(b"Retry-After", wait)]))
    assert seconds is None or 0 <= seconds < float("inf")
    with contextlib.suppress(ShopifyUnavailable):
        answer = json_object(httpx.Response(200, content=raw))
        cost_of(answer)
        for kind in (ProductAnswer, OfflineToken):
            with contextlib.suppress(ShopifyUnavailable):
                readable(answer.get("data", answer), kind)


# Uploads


@few
@given(mangled(form(("file", b"a picture")), form(("other", b"x"), ("file", b"y"))))
def test_multipart_forms_parse_or_are_refused(body: bytes) -> None:
    request: Any = FormRequest(f"multipart/form-data; boundary={BOUNDARY}", body)
    file = io.BytesIO()
    refusals = (MultipartError, BadRequest, InvalidRequest, ImageTooLarge)  # as `sent_file` has it
    with contextlib.suppress(*refusals):
        asyncio.run(copy_file_part(pieces(request), boundary_of(request), file))
        assert 0 < len(file.getvalue()) <= len(body)


PICTURES = [
    jpeg(photo(520, 520)),
    png(photo(520, 520)),
    *(photo(520, 520).write_to_buffer(f".{suffix}") for suffix in ("webp", "gif", "tif")),
    photo(520, 520).write_to_buffer(".avif", effort=0),
]
HEIC_PICTURES = [
    *(heif_files.sample(name) for name in ("opaque", "ten_bit", "alpha")),
    heif_files.heif(heif_files.coded(heif_files.sample("opaque")), grid=(2, 1), orientation=6),
]


@few
@given(mangled(*PICTURES), st.integers(0, 200), st.binary(min_size=1, max_size=4))
def test_images_decode_or_are_refused(data: bytes, at: int, other: bytes) -> None:
    """In this process; the product does it in a child that may die."""
    harden_libvips()
    with contextlib.suppress(PictureRefused):
        picture = decode(data[:at] + other + data[at + len(other) :])
        height, width, _ = picture.rgb.shape
        assert 0 < height * width <= 64_000_000


def test_heic_files_are_stored_or_refused_by_the_child() -> None:
    """The decoder of these has crashed before, and may: then the file is refused, and no other."""
    renderer = LocalRenderer(None)
    sanitizer = ImageSanitizer(renderer)

    async def upload(data: bytes) -> str:
        return (await sanitizer.sanitize(io.BytesIO(data))).content_type

    @few
    @given(mangled(*HEIC_PICTURES), st.integers(0, 2000), st.binary(min_size=1, max_size=4))
    def check(data: bytes, at: int, other: bytes) -> None:
        with contextlib.suppress(UnusableImage, ImageTooLarge, ImageTypeUnsupported):
            made = runner.run(upload(data[:at] + other + data[at + len(other) :]))
            assert made in ("image/jpeg", "image/png")

    with asyncio.Runner() as runner:
        check()
        assert runner.run(upload(HEIC_PICTURES[0])) == "image/jpeg"
        runner.run(sanitizer.close())
