"""What the status of Shopify's responses means: wait, another token, or a shop that is closed."""

import math
from http import HTTPStatus

import httpx

from backend.shops.shopify_responses import Cost

THROTTLED_STATUSES = {429, 430}
# The shop has not paid, is unavailable, or is locked. It can open again, and its tokens are valid.
# Shopify reports a missing scope as ACCESS_DENIED in a 200, never as a 403.
INACTIVE_STATUSES = {402, 403, 423}
INACTIVE_CODE = "SHOP_INACTIVE"  # of a GraphQL error in a 200
# A 403 about the token, not the shop: a merchant has to open the app, which gets one that expires.
LASTING_TOKEN_REFUSED = "non-expiring access token"
# What a shop may answer that has told us that it is leaving. It may also be inactive.
UNINSTALLED_STATUSES = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND})


def refuses_token(response: httpx.Response) -> bool:
    """Whether the response to a query says that the token is not accepted."""
    if response.status_code == HTTPStatus.FORBIDDEN:
        return LASTING_TOKEN_REFUSED in response.text.lower()
    return response.status_code == HTTPStatus.UNAUTHORIZED


def retry_after(response: httpx.Response) -> float | None:
    """The seconds in Retry-After, which Shopify writes with a fraction; None without one."""
    try:
        seconds = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def time_to_restore(cost: Cost | None) -> float | None:
    """The seconds until the shop's rate-limit bucket has enough points for the query."""
    if cost is None or cost.throttle_status.restore_rate <= 0:
        return None
    status = cost.throttle_status
    missing = cost.requested_query_cost - status.currently_available
    return max(missing / status.restore_rate, 0.0)
