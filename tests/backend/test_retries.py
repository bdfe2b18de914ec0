"""Pauses grow, are scattered, respect what the other side asks for, and end with the patience."""

from datetime import timedelta

import pytest

from backend.retries import RetryPolicy

POLICY = RetryPolicy(
    first=timedelta(seconds=2), longest=timedelta(minutes=2), patience=timedelta(minutes=15)
)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 2), (2, 4), (5, 32), (7, 120), (10_000, 120)]
)
def test_pauses_double_up_to_the_longest(failures: int, seconds: float) -> None:
    pauses = [POLICY.pause(failures).total_seconds() for _ in range(200)]
    assert min(pauses) >= seconds * 0.75
    assert max(pauses) <= seconds * 1.25


def test_pauses_are_scattered() -> None:
    assert len({POLICY.pause(3) for _ in range(50)}) > 40


def test_a_pause_is_as_long_as_the_other_side_asks_for_within_the_longest() -> None:
    assert POLICY.pause(1, at_least=timedelta(seconds=30)) == timedelta(seconds=30)
    assert POLICY.pause(1, at_least=timedelta(hours=1)) == timedelta(minutes=2)


def test_an_outage_is_waited_out_for_as_long_as_the_patience() -> None:
    assert not POLICY.is_exhausted(timedelta(minutes=14, seconds=59))
    assert POLICY.is_exhausted(timedelta(minutes=15))


def test_without_a_patience_it_is_waited_for_ever() -> None:
    endless = RetryPolicy(first=timedelta(seconds=1), longest=timedelta(days=1), patience=None)
    assert not endless.is_exhausted(timedelta(days=1000))
