"""Run a command's coroutine."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

INTERRUPTED = 130  # the exit code after Ctrl-C, as shells have it


def run(main_coroutine: Any, runner: Callable[[Any], Any] = asyncio.run) -> Any:
    """Run a coroutine; exit with code 130 on Ctrl-C."""
    try:
        return runner(main_coroutine)
    except (KeyboardInterrupt, asyncio.CancelledError):
        main_coroutine.close()  # it may not have started
        sys.exit(INTERRUPTED)
