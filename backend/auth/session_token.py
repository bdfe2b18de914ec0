"""Verifies Shopify session tokens (also called ID tokens): which shop, and which staff member.

The token is a JWT that App Bridge adds to each request, signed with the app's secret and
good for about a minute. ShopifyAPI makes the base checks: HS256 only, signature, times with
10 s of leeway, audience, and that issuer and destination share a myshopify.com host. The
claims below close what it leaves open: times that are merely optional, `http`, a list of
audiences, and above all the tokens of *buyers*. Checkout and customer-account extensions
sign theirs with the same secret for the same audience; they differ in the path of `iss`, in
a `sub` that is not a number and in having no `sid`.

Source: shopify.dev, "About session tokens"; `admin_session_token?` in shopify-api-ruby. Only
pure functions of ShopifyAPI are called here: its sessions are global to a thread.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from shopify.session_token import decode_from_header

from backend.auth.shop_domain import is_shop_domain

_MAX_TOKEN_CHARS = 4096  # real ones have about 500
_MAX_LIFETIME_SECONDS = 120  # real ones live for 60

# header.claims.signature (RFC 7515 §7.1): unpadded base64url, where 32 bytes take 43 characters.
_SIGNED_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}")

# Header parameters that bring or point to a key of the sender's own (RFC 7515 §4.1.2–4.1.6).
# PyJWT does not follow them, and Shopify does not send them.
_KEY_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c"})

_UserId = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,20}\Z")]
_Opaque = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,255}\Z")]  # printable ASCII


class SessionToken(msgspec.Struct, frozen=True, kw_only=True):
    """A verified session token: a member of staff, in the admin of one shop."""

    shop: str
    user_id: str
    session_id: str
    token_id: str
    expires_at: datetime  # aware, UTC


class _Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a merchant's token must carry; `msgspec.convert` refuses any other type or shape."""

    iss: str
    dest: str
    aud: str  # equal to the api key, as ShopifyAPI has checked; it would also take a list
    sub: _UserId
    sid: _Opaque
    jti: _Opaque
    exp: int
    nbf: int
    iat: int


def verify_session_token(
    token: str, *, api_key: str, secrets: Sequence[bytes]
) -> SessionToken | None:
    """The merchant's session that `token` proves, or None if it proves none. Never raises.

    `api_key` is the app's client id. `secrets` are tried in turn, the current one first;
    empty ones are ignored.
    """
    if len(token) > _MAX_TOKEN_CHARS or not _SIGNED_JWT.fullmatch(token):
        return None
    for secret in filter(None, secrets):
        claims = _signed_claims(token, api_key, secret)
        if claims is not None:
            return _merchant_session(claims)
    return None


def _signed_claims(token: str, api_key: str, secret: bytes) -> _Claims | None:
    try:
        claims = decode_from_header(f"Bearer {token}", api_key, secret)
        if _KEY_HEADERS & _header(token).keys():
            return None
        return msgspec.convert(claims, _Claims)
    # ShopifyAPI raises whatever its parsers meet (ValueError for `https://[bad`, TypeError and
    # AttributeError for an `iss` that is not a string). Any of them means an invalid token.
    except Exception:
        return None


def _header(token: str) -> dict[str, object]:
    """The header of a token that was verified: PyJWT would decode the whole token a second time."""
    encoded = token.partition(".")[0]
    return msgspec.json.decode(urlsafe_b64decode(f"{encoded}=="), type=dict[str, object])


def _merchant_session(claims: _Claims) -> SessionToken | None:
    shop = claims.dest.removeprefix("https://")
    is_merchants = (
        is_shop_domain(shop)
        and claims.dest == f"https://{shop}"
        and claims.iss == f"{claims.dest}/admin"
        and claims.exp - claims.nbf <= _MAX_LIFETIME_SECONDS
    )
    if not is_merchants:
        return None
    return SessionToken(
        shop=shop,
        user_id=claims.sub,
        session_id=claims.sid,
        token_id=claims.jti,
        expires_at=datetime.fromtimestamp(claims.exp, UTC),
    )
