"""What the status of Shopify's responses means: wait, another token, or a shop that is closed."""

import math
from http import HTTPStatus

import httpx

from backend.shops.shopify_responses import Cost

THROTTLED_STATUSES = {429, 430}
# The shop has not paid, is unavailable, or is locked. It can open again, and its tokens are valid.
INACTIVE_STATUSES = {402, 403, 423}
INACTIVE_CODE = "SHOP_INACTIVE"  # of a GraphQL error in a 200
# GraphQL reports a missing scope as this code in a 200; a 403 that names the scope is the REST way.
ACCESS_DENIED = "ACCESS_DENIED"
SCOPE_NOT_APPROVED = "merchant approval"
# A 403 about the token, not the shop: a merchant has to open the app, which gets one that expires.
LASTING_TOKEN_REFUSED = "non-expiring access token"
TRANSIENT_ERROR_CODES = frozenset({"INTERNAL_SERVER_ERROR", "SERVICE_UNAVAILABLE", "TIMEOUT"})
TRANSIENT_MESSAGES = ("internal error", "internal server error", "timeout")
# What a shop may answer that has told us that it is leaving. It may also be inactive.
UNINSTALLED_STATUSES = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND})


def is_busy(response: httpx.Response) -> bool:
    """Whether the status says that the same request can succeed later."""
    return response.is_server_error or response.status_code in {
        HTTPStatus.REQUEST_TIMEOUT,
        *THROTTLED_STATUSES,
    }


def is_passing_error(code: str) -> bool:
    """Whether a GraphQL error passes: by its code, or by its message where it has none."""
    return code in TRANSIENT_ERROR_CODES or code.lower().startswith(TRANSIENT_MESSAGES)


def refuses_token(response: httpx.Response) -> bool:
    """Whether the response to a query says that the token is not accepted."""
    if response.status_code == HTTPStatus.FORBIDDEN:
        return LASTING_TOKEN_REFUSED in response.text.lower()
    return response.status_code == HTTPStatus.UNAUTHORIZED


def denies_access(response: httpx.Response) -> bool:
    """Whether the response says that a scope is missing."""
    is_forbidden = response.status_code == HTTPStatus.FORBIDDEN
    return is_forbidden and SCOPE_NOT_APPROVED in response.text.lower()


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
