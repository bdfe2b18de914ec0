"""Access and refresh tokens of one shop: exchange, rotation, migration, expiry, revocation.

Source: shopify.dev, "Token exchange", "Expiring offline access tokens" and the changelog of
2026-08-28, as of 2026-10.
"""

import secrets
from dataclasses import dataclass, field

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
OFFLINE_TOKEN = "urn:shopify:params:oauth:token-type:offline-access-token"

REFRESH_TOKEN_LIFETIME = 7_776_000  # seconds: 90 days
RETRY_WINDOW = 2_592_000  # seconds: 30 days from a refresh token's first use
MIGRATION_WINDOW = 604_800  # seconds: 7 days to ask again for a migration's answer

Pair = dict[str, object]


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """One link of the chain, with its own end, and when it was first used."""

    token: str
    expires_at: float
    first_used_at: float | None = None

    def is_good(self, token: str, now: float) -> bool:
        """Whether `token` is this one, in its 90 days and in 30 days of its first use."""
        used = self.first_used_at is not None
        ends_at = min(self.expires_at, (self.first_used_at or 0.0) + RETRY_WINDOW)
        return token == self.token and now < (ends_at if used else self.expires_at)


@dataclass(slots=True)
class Grants:
    """The tokens in force, each with its expiry in seconds since the epoch.

    A shop has one chain of refresh tokens. The previous link stays good until its replacement is
    first used, so that a lost answer can be asked for again; asking again replaces the answer
    that was lost. Shopify does not say whether the lost one would still work: this is the
    stricter reading, and it catches a client that refreshes twice at once.
    """

    access: dict[str, float] = field(default_factory=dict)
    lasting: str | None = None
    """The token of the old kind, which never expires by itself."""
    current: RefreshToken | None = None
    previous: RefreshToken | None = None
    migrated: tuple[str, Pair, float] | None = None
    """The lasting token that was given up, what came for it, and until when it can come again."""

    def issue(self, now: float, lifetime: int) -> Pair:
        """Mint a pair outside the chain, as token exchange does; older refresh tokens are dead."""
        self.previous = self.migrated = self.lasting = None
        return self._mint(now, lifetime)

    def refresh(self, token: str, now: float, lifetime: int) -> Pair | None:
        """Mint the pair that follows `token`, or return None when that token is dead."""
        for link in (self.current, self.previous):
            if link is not None and link.is_good(token, now):
                first_used_at = now if link.first_used_at is None else link.first_used_at
                self.previous = RefreshToken(link.token, link.expires_at, first_used_at)
                self.migrated = None
                return self._mint(now, lifetime)
        return None

    def issue_lasting(self) -> str:
        """Mint a token of the old kind."""
        self.lasting = f"shpat_{secrets.token_hex(16)}"
        return self.lasting

    def migrate(self, token: str, now: float, lifetime: int) -> Pair | None:
        """Give up the lasting token for a pair. None when it is not the shop's.

        For seven days the same token brings the same pair again, with the access token's time
        begun anew, unless that pair was refreshed or replaced meanwhile.
        """
        if self.migrated is not None and self.migrated[0] == token and now < self.migrated[2]:
            pair = self.migrated[1]
            self.access[str(pair["access_token"])] = now + lifetime
            return pair
        if token != self.lasting:
            return None
        pair = self.issue(now, lifetime)
        self.migrated = (token, pair, now + MIGRATION_WINDOW)
        return pair

    def covers(self, token: str, now: float) -> bool:
        """Say whether this expiring access token is one of ours and still in time."""
        return now < self.access.get(token, 0.0)

    def is_lasting(self, token: str) -> bool:
        """Whether this is the token of the old kind."""
        return self.lasting is not None and token == self.lasting

    def revoke_access(self) -> None:
        """Kill the access tokens; the refresh token lives."""
        self.access.clear()
        self.lasting = None

    def revoke_all(self) -> None:
        """Kill every token, as uninstalling does."""
        self.revoke_access()
        self.current = self.previous = self.migrated = None

    def _mint(self, now: float, lifetime: int) -> Pair:
        access = f"shpat_{secrets.token_hex(16)}"
        self.access[access] = now + lifetime
        self.current = RefreshToken(f"shprt_{secrets.token_hex(16)}", now + REFRESH_TOKEN_LIFETIME)
        return {
            "access_token": access,
            "expires_in": lifetime,
            "refresh_token": self.current.token,
            "refresh_token_expires_in": REFRESH_TOKEN_LIFETIME,
        }
