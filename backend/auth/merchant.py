"""The merchant that a request acts for, and the cache of those whose session token was verified.

A page sends the same token for about a minute. Until it expires it need not be verified again;
whether its shop still has the app is checked for each request.
"""

import sys
from collections import OrderedDict

import msgspec

BEARER_PREFIX = b"bearer "
MAX_TOKEN_CACHE_BYTES = 8_000_000  # about 9,000 tokens
# What an entry occupies beside its parts: the tuple, the time, and its place in the OrderedDict.
ENTRY_OVERHEAD = 200


class Merchant(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The authenticated shop; `authorization` is the header whose session token proved it.

    `user_id` is the member of staff that the token names. Both are None for a signed request.
    """

    shop: str
    authorization: bytes | None = None
    user_id: str | None = None

    @property
    def token(self) -> str | None:
        """The session token."""
        if self.authorization is None:
            return None
        return self.authorization[len(BEARER_PREFIX) :].decode("latin-1")

    def __repr__(self) -> str:
        """Without the token: what is printed ends up in logs."""
        return f"Merchant(shop={self.shop!r})"


class TokenCache:
    """Merchants by the header that proved them, within a number of bytes.

    Tokens live equally long, so the oldest entry expires first. If there is no room, it leaves
    before that, and its token is verified again.
    """

    def __init__(self, max_bytes: int = MAX_TOKEN_CACHE_BYTES) -> None:
        self.max_bytes = max_bytes
        self.size = 0  # bytes
        self.entries: OrderedDict[bytes, tuple[Merchant, float]] = OrderedDict()

    def get(self, authorization: bytes, now: float) -> Merchant | None:
        """The merchant whom the header proved before, if its token is valid at `now`."""
        entry = self.entries.get(authorization)
        return entry[0] if entry is not None and now < entry[1] else None

    def put(self, authorization: bytes, merchant: Merchant, *, until: float, now: float) -> None:
        """Keep the merchant until a time (seconds since the epoch), or until others need room."""
        if authorization in self.entries:
            return  # its token has expired, and is only valid within the leeway for clocks
        self.entries[authorization] = (merchant, until)
        self.size += entry_size(authorization, merchant)
        while self.size > self.max_bytes or (self.entries and self.oldest_ends_at() <= now):
            oldest, (owner, _) = self.entries.popitem(last=False)
            self.size -= entry_size(oldest, owner)

    def oldest_ends_at(self) -> float:
        """When the oldest entry's token expires."""
        return next(iter(self.entries.values()))[1]


def entry_size(authorization: bytes, merchant: Merchant) -> int:
    """The bytes that an entry of the cache occupies; the merchant's own header is the key."""
    parts = (authorization, merchant, merchant.shop, merchant.user_id)
    return ENTRY_OVERHEAD + sum(map(sys.getsizeof, parts))
