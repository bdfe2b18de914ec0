"""The worker process of the stack, for tests that want jobs to wait."""

import contextlib
import os
import signal
from collections.abc import Iterator

from backend.dev.stack import Stack


@contextlib.contextmanager
def paused_worker(stack: Stack) -> Iterator[None]:
    """In this block the worker does nothing, and goes on afterwards where it was."""
    worker = stack.processes[1].process
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker.pid, signal.SIGCONT)
