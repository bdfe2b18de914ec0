"""The cache of verified session tokens: bounded by bytes, rid of what has expired."""

import tracemalloc

from backend.auth.merchant import Merchant, TokenCache

HOUR = 3600.0
LONGEST = 4096  # characters that a token may have


def keep(
    cache: TokenCache, number: int, *, until: float, now: float = 0.0, size: int = 500
) -> bytes:
    """Put a merchant of its own into the cache, by a header of `size` bytes; the header."""
    authorization = f"Bearer {number:0{size - 7}}".encode()
    merchant = Merchant(
        shop=f"shop-{number}.myshopify.com",
        authorization=authorization,
        user_id=f"{10**9 + number}",
    )
    cache.put(authorization, merchant, until=until, now=now)
    return authorization


def test_the_bytes_that_are_counted_are_those_that_are_used() -> None:
    cache = TokenCache(max_bytes=10**9)
    for count in (1_000, 3_000, 5_000):  # the table's free space differs
        tracemalloc.start()
        before = cache.size
        for number in range(count):
            keep(cache, 10_000 * count + number, until=HOUR)
        used = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert 0.8 * used < cache.size - before < 1.25 * used


def test_the_cache_stays_within_its_bytes_with_the_longest_tokens() -> None:
    cache = TokenCache(max_bytes=50_000)
    for number in range(100):
        last = keep(cache, number, until=HOUR, size=LONGEST)
        assert cache.size <= 50_000
        assert sum(map(len, cache.entries)) <= cache.size
        assert cache.get(last, now=0.0)


def test_the_oldest_token_leaves_a_full_cache() -> None:
    cache = TokenCache(max_bytes=10_000)
    headers = [keep(cache, number, until=HOUR) for number in range(100)]
    kept = [header for header in headers if cache.get(header, now=0.0)]
    assert 5 < len(kept) < 20
    assert kept == headers[-len(kept) :]


def test_expired_tokens_leave_when_another_one_comes() -> None:
    cache = TokenCache()
    for second in range(500):
        keep(cache, second, until=second + 60, now=second)
        assert len(cache.entries) <= 60
    keep(cache, 1_000, until=HOUR, now=1_000)
    alone = TokenCache()
    keep(alone, 1_000, until=HOUR)
    assert cache.size == alone.size


def test_a_token_that_comes_again_is_counted_once() -> None:
    cache = TokenCache()
    for _ in range(3):
        keep(cache, 1, until=60)
    once = TokenCache()
    keep(once, 1, until=60)
    assert cache.size == once.size
