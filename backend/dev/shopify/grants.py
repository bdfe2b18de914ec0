"""Access and refresh tokens of one shop: token exchange, rotation, expiry, revocation.

Source: shopify.dev, "Token exchange" and "Expiring offline access tokens", as of 2026-10.
"""

import base64
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.dev import signing

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
OFFLINE_TOKEN = "urn:shopify:params:oauth:token-type:offline-access-token"

REFRESH_TOKEN_LIFETIME = 7_776_000  # seconds: 90 days
LEEWAY = 10  # seconds of clock difference that Shopify's libraries allow


@dataclass(slots=True)
class Grants:
    """The tokens in force, each with its expiry in seconds since the epoch.

    A shop has one chain of refresh tokens. The previous link stays good until its replacement is
    first used, so that a lost answer can be asked for again; asking again replaces the answer
    that was lost. Shopify does not say whether the lost one would still work: this is the
    stricter reading, and it catches a client that refreshes twice at once.
    """

    access: dict[str, float] = field(default_factory=dict)
    current: str | None = None
    previous: str | None = None
    refresh_expires_at: float = 0.0

    def issue(self, now: float, lifetime: int) -> dict[str, object]:
        """Mint a pair outside the chain, as token exchange does; older refresh tokens are dead."""
        self.previous = None
        return self._mint(now, lifetime)

    def refresh(self, token: str, now: float, lifetime: int) -> dict[str, object] | None:
        """Mint the pair that follows `token`, or return None when that token is dead."""
        if token not in (self.current, self.previous) or now >= self.refresh_expires_at:
            return None
        self.previous = token
        return self._mint(now, lifetime)

    def covers(self, token: str, now: float) -> bool:
        """Say whether this access token is one of ours and still in time."""
        return now < self.access.get(token, 0.0)

    def revoke_access(self) -> None:
        """Kill the access tokens; the refresh token lives."""
        self.access.clear()

    def revoke_all(self) -> None:
        """Kill every token, as uninstalling does."""
        self.revoke_access()
        self.current = self.previous = None

    def _mint(self, now: float, lifetime: int) -> dict[str, object]:
        access = f"shpat_{secrets.token_hex(16)}"
        self.access[access] = now + lifetime
        self.current = f"shprt_{secrets.token_hex(16)}"
        self.refresh_expires_at = now + REFRESH_TOKEN_LIFETIME
        return {
            "access_token": access,
            "expires_in": lifetime,
            "refresh_token": self.current,
            "refresh_token_expires_in": REFRESH_TOKEN_LIFETIME,
        }


def asks_for_expiring_offline_token(form: Mapping[str, object]) -> bool:
    """Say whether a token exchange asks for the only kind the stand-in gives.

    Non-expiring tokens are refused: from 2027-01-01 Shopify accepts them of no public app.
    """
    return (
        form.get("subject_token_type") == ID_TOKEN
        and form.get("requested_token_type") == OFFLINE_TOKEN
        and form.get("expiring") in (1, "1")
    )


def is_id_token_of(shop: str, token: object, *, api_key: str, secret: str, now: float) -> bool:
    """Verify a session token with the stand-in's own code: bytes, times, app and shop."""
    try:
        claims = _signed_claims(str(token), secret)
        in_time = bool(claims["nbf"] - LEEWAY <= now < claims["exp"] + LEEWAY)
        party = (claims["aud"], claims["dest"], claims["iss"])
    except (ValueError, KeyError, TypeError):
        return False
    return in_time and party == (api_key, f"https://{shop}", f"https://{shop}/admin")


def _signed_claims(token: str, secret: str) -> dict[str, Any]:
    """Return the claims of an HS256 token. Raises ValueError when it is not one of ours."""
    signing_input, _, signature = token.rpartition(".")
    header, _, payload = signing_input.partition(".")
    expected = signing.jwt_signature(signing_input, secret)
    if not hmac.compare_digest(signature.encode(), expected.encode()):
        raise ValueError("signature")
    if _decoded(header).get("alg") != "HS256":
        raise ValueError("algorithm")
    return _decoded(payload)


def _decoded(part: str) -> dict[str, Any]:
    padded = part + "=" * (-len(part) % 4)
    value = json.loads(base64.urlsafe_b64decode(padded))
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
