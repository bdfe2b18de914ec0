"""Each shop has its own rate limits, and refusals say when to retry."""

import pytest

from backend.auth.rate_limits import RateLimits, parse_budget
from backend.errors import ConfigurationError, TooManyRequests


class Clock:
    """A time that stands still until it is set."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.now


def refused_after(limits: RateLimits, shop: str, method: str) -> int:
    """How many requests pass."""
    for passed in range(100):
        try:
            limits.count(shop, method)
        except TooManyRequests:
            return passed
    return 100


def test_each_shop_has_its_own_rate_limit() -> None:
    limits = RateLimits(reads="5/minute", writes="2/minute")
    assert refused_after(limits, "a.myshopify.com", "GET") == 5
    assert refused_after(limits, "b.myshopify.com", "GET") == 5


def test_reads_and_writes_have_separate_limits() -> None:
    limits = RateLimits(reads="5/minute", writes="2/minute")
    assert refused_after(limits, "a.myshopify.com", "POST") == 2
    assert refused_after(limits, "a.myshopify.com", "HEAD") == 5
    assert refused_after(limits, "a.myshopify.com", "DELETE") == 0


def test_the_window_slides_across_the_minute() -> None:
    clock = Clock(60.0)
    limits = RateLimits(reads="10/minute", writes="1/minute", clock=clock)
    assert refused_after(limits, "a.myshopify.com", "GET") == 10
    clock.now = 120.0  # the whole minute before still counts
    assert refused_after(limits, "a.myshopify.com", "GET") == 0
    clock.now = 150.0  # half of it does
    assert refused_after(limits, "a.myshopify.com", "GET") == 5
    clock.now = 299.0  # a minute without a request lies between
    assert refused_after(limits, "a.myshopify.com", "GET") == 10


def test_a_refused_request_is_not_counted() -> None:
    clock = Clock(60.0)
    limits = RateLimits(reads="2/minute", writes="1/minute", clock=clock)
    refused_after(limits, "a.myshopify.com", "GET")
    for _ in range(50):
        with pytest.raises(TooManyRequests):
            limits.count("a.myshopify.com", "GET")
    clock.now = 150.0
    assert refused_after(limits, "a.myshopify.com", "GET") == 1


def test_the_refusal_has_a_retry_after_header() -> None:
    limits = RateLimits(reads="1/minute", writes="1/minute")
    limits.count("a.myshopify.com", "GET")
    with pytest.raises(TooManyRequests) as caught:
        limits.count("a.myshopify.com", "GET")
    assert 1 <= int(caught.value.headers["Retry-After"]) <= 120


@pytest.mark.parametrize(
    ("left", "told"),
    [(0, {1}), (3, {3}), (8, {8, 9, 10}), (43_200, set(range(43_200, 43_261)))],
)
def test_retry_after_hints_are_spread_and_never_too_early(left: int, told: set[int]) -> None:
    """And none of them before it has ended."""
    waits = {int(TooManyRequests(left).headers["Retry-After"]) for _ in range(2_000)}
    assert waits == told


@pytest.mark.parametrize("wrong", ["", "many", "5/fortnight", "-1/minute", "5/0 minutes"])
def test_an_unreadable_limit_stops_the_start(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="600/minute"):
        RateLimits(reads=wrong, writes="1/minute")


@pytest.mark.parametrize("left", [-1, 0, 1])
def test_an_elapsed_wait_is_reported_as_one_second(left: int) -> None:
    assert TooManyRequests(left).headers == {"Retry-After": "1"}


@pytest.mark.parametrize(
    ("text", "amount", "seconds"),
    [
        ("600/minute", 600, 60),
        ("20 per second", 20, 1),
        (" 100/5 minutes ", 100, 300),
        ("1000 / HOUR", 1000, 3600),
        ("5 per 2days", 5, 172_800),
    ],
)
def test_a_budget_is_an_amount_in_a_window(text: str, amount: int, seconds: int) -> None:
    read = parse_budget(text)
    assert (read.amount, read.seconds) == (amount, seconds)
