"""Each shop has budgets of its own, and is told when to come back."""

import pytest

from backend.auth.rate_limits import RateLimits
from backend.errors import ConfigurationError, TooManyRequests


async def refused_after(limits: RateLimits, shop: str, method: str) -> int:
    """How many requests pass."""
    for passed in range(100):
        try:
            await limits.count(shop, method)
        except TooManyRequests:
            return passed
    return 100


async def test_a_shop_over_its_budget_is_refused_and_another_is_not() -> None:
    limits = RateLimits(reads="5/minute", writes="2/minute")
    assert await refused_after(limits, "a.myshopify.com", "GET") == 5
    assert await refused_after(limits, "b.myshopify.com", "GET") == 5


async def test_reads_and_writes_are_counted_apart() -> None:
    limits = RateLimits(reads="5/minute", writes="2/minute")
    assert await refused_after(limits, "a.myshopify.com", "POST") == 2
    assert await refused_after(limits, "a.myshopify.com", "HEAD") == 5
    assert await refused_after(limits, "a.myshopify.com", "DELETE") == 0


async def test_the_refusal_says_when_to_come_back() -> None:
    limits = RateLimits(reads="1/minute", writes="1/minute")
    await limits.count("a.myshopify.com", "GET")
    with pytest.raises(TooManyRequests) as caught:
        await limits.count("a.myshopify.com", "GET")
    assert 1 <= int(caught.value.headers["Retry-After"]) <= 120


@pytest.mark.parametrize("wrong", ["", "many", "5/fortnight", "-1/minute"])
def test_a_budget_that_cannot_be_read_stops_the_process(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="600/minute"):
        RateLimits(reads=wrong, writes="1/minute")
