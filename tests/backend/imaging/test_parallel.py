"""Two steps at the same time."""

import threading
from collections.abc import Iterator

import pytest
import pyvips

from backend.imaging.parallel import in_parallel


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = pyvips.concurrency_get()
    pyvips.concurrency_set(request.param)
    yield request.param
    pyvips.concurrency_set(before)


def test_both_results_come_back_in_order(threads):
    assert in_parallel(lambda: "first", lambda: 2) == ("first", 2)


@pytest.mark.parametrize("first_fails", [True, False])
def test_an_error_of_either_is_raised(threads, first_fails):
    def fail() -> None:
        raise ValueError("damaged")

    steps = (fail, str) if first_fails else (str, fail)
    with pytest.raises(ValueError, match="damaged"):
        in_parallel(*steps)


def test_they_share_the_time_only_where_there_are_two_threads(threads):
    meeting = threading.Barrier(2)

    def meet() -> bool:
        try:
            meeting.wait(5 if threads == 2 else 0.01)
        except threading.BrokenBarrierError:
            return False
        return True

    assert in_parallel(meet, meet) == (threads == 2, threads == 2)
