"""Independent steps of one picture at the same time, if the child may use a second thread.

numpy and libvips let go of the interpreter while they compute.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pyvips

First = TypeVar("First")
Second = TypeVar("Second")


def in_parallel(first: Callable[[], First], second: Callable[[], Second]) -> tuple[First, Second]:
    """What both return; one after the other where libvips has a single thread."""
    if pyvips.concurrency_get() == 1:
        return first(), second()
    with ThreadPoolExecutor(1) as pool:
        later = pool.submit(second)
        return first(), later.result()
