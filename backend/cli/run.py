"""Run a command's coroutine."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any


def run(main_coroutine: Any, runner: Callable[[Any], Any] = asyncio.run) -> Any:
    """Run a coroutine; Ctrl-C is not an error of ours."""
    try:
        return runner(main_coroutine)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
