"""Schedules: what others must not wait for has its own."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from backend.worker import schedules

EACH_MINUTE = ("requeue_overdue", "settle_batches", "expire_credits", "wake_endpoints")
Duty = Callable[[Any], Awaitable[None]]


class Registry:
    """What PgQueuer is told to do, and when."""

    def __init__(self) -> None:
        self.duties: dict[tuple[str, str], Duty] = {}

    def schedule(self, name: str, when: str) -> Callable[[Duty], Duty]:
        """As PgQueuer's."""

        def register(duty: Duty) -> Duty:
            self.duties[name, when] = duty
            return duty

        return register


async def test_a_duty_of_each_minute_that_fails_keeps_no_other_from_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = []

    def failing(name: str) -> Duty:
        async def fail(_database: Any) -> None:
            begun.append(name)
            raise RuntimeError(name)

        return fail

    for name in EACH_MINUTE:
        monkeypatch.setattr(schedules, name, failing(name))
    registry: Any = Registry()
    context: Any = SimpleNamespace(database=None)
    settings: Any = None
    schedules.register_schedules(registry, settings, context)
    for (_, when), duty in registry.duties.items():
        if when == "* * * * *":
            with suppress(RuntimeError):
                await duty(None)
    assert sorted(begun) == sorted(EACH_MINUTE)
