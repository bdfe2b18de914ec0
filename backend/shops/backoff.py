"""How long work that needs Shopify waits before it is tried again."""

from datetime import timedelta

from backend.errors import ShopifyUnavailable

FIRST_DELAY = timedelta(seconds=2)
LONGEST_DELAY = timedelta(minutes=2)


def delay_after(tries: int, error: Exception) -> timedelta:
    """Longer each time, and at least as long as Shopify asks for."""
    delay = min(FIRST_DELAY * 2.0 ** (tries - 1), LONGEST_DELAY)
    wait = error.wait if isinstance(error, ShopifyUnavailable) else None
    return max(delay, min(timedelta(seconds=wait or 0), LONGEST_DELAY))
