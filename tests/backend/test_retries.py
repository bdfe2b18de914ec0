"""Retry pauses grow, are spread, honour requested pauses and end with the give_up_after."""

import asyncio
from datetime import timedelta

import pytest

from backend.errors import DatabaseUnavailable, ShopifyUnavailable, StorageUnavailable
from backend.retries import (
    BATCHES,
    DELIVERIES,
    JOBS,
    PUBLICATIONS,
    RetryPolicy,
    requested_wait,
    retry_until_database_is_back,
)

POLICY = RetryPolicy(
    first=timedelta(seconds=2), longest=timedelta(minutes=2), give_up_after=timedelta(minutes=15)
)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 2), (2, 4), (5, 32), (7, 120), (10_000, 120)]
)
def test_pauses_double_up_to_a_maximum(failures: int, seconds: float) -> None:
    pauses = [POLICY.pause(failures).total_seconds() for _ in range(200)]
    assert min(pauses) >= seconds * 0.75
    assert max(pauses) <= seconds * 1.25


def test_pauses_are_spread() -> None:
    assert len({POLICY.pause(3) for _ in range(50)}) > 40


def test_a_requested_pause_is_kept_up_to_the_maximum() -> None:
    assert POLICY.pause(1, at_least=timedelta(seconds=30)) == timedelta(seconds=30)
    assert POLICY.pause(1, at_least=timedelta(hours=1)) == timedelta(minutes=2)


@pytest.mark.parametrize("wait", [1e300, float("inf")])
def test_an_absurd_request_to_wait_is_a_long_one(wait: float) -> None:
    asked = requested_wait(ShopifyUnavailable(wait=wait))
    assert DELIVERIES.pause(1, at_least=asked) == DELIVERIES.longest


def test_an_outage_is_waited_out_until_the_patience_ends() -> None:
    assert not POLICY.is_exhausted(timedelta(minutes=14, seconds=59))
    assert POLICY.is_exhausted(timedelta(minutes=15))


def test_without_a_patience_the_wait_never_ends() -> None:
    endless = RetryPolicy(first=timedelta(seconds=1), longest=timedelta(days=1), give_up_after=None)
    assert not endless.is_exhausted(timedelta(days=1000))


@pytest.mark.parametrize(
    ("policy", "at_least"),
    [
        (JOBS, timedelta(minutes=15)),
        (PUBLICATIONS, timedelta(minutes=15)),
        (BATCHES, timedelta(minutes=15)),
        (DELIVERIES, timedelta(hours=6)),
    ],
)
def test_the_pauses_of_each_policy_add_up_to_its_patience(
    policy: RetryPolicy, at_least: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However they are scattered: here each is as short as can be."""
    monkeypatch.setattr("random.uniform", lambda low, _high: low)
    pauses: list[timedelta] = []
    while not policy.is_exhausted(policy.waited(len(pauses) + 1)):
        pauses.append(policy.pause(len(pauses) + 1))
    assert sum(pauses, timedelta(0)) >= at_least
    assert len(pauses) < 50
    assert pauses == sorted(pauses)


def test_only_shopify_errors_carry_a_requested_pause() -> None:
    assert requested_wait(ShopifyUnavailable(wait=7)) == timedelta(seconds=7)
    assert (
        requested_wait(ShopifyUnavailable()) == requested_wait(StorageUnavailable()) == timedelta(0)
    )
    assert requested_wait(None) == timedelta(0)


async def test_work_continues_once_the_database_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("backend.retries.DATABASE_POLL_INTERVAL", 0)
    answers = [False, False, True]

    async def attempt() -> None:
        if not answers.pop(0):
            raise DatabaseUnavailable

    await retry_until_database_is_back(attempt, asyncio.Event())
    assert answers == []


async def test_a_stopping_process_does_not_wait_for_the_database() -> None:
    stopping = asyncio.Event()
    stopping.set()

    async def attempt() -> None:
        raise DatabaseUnavailable

    async with asyncio.timeout(1):
        await retry_until_database_is_back(attempt, stopping)
