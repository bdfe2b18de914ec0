"""The listener reconnects after any error, and knows when it is not connected."""

from typing import Any

import asyncpg
import pytest
from asyncpg.exceptions import InternalClientError

from backend.jobs import wakeups
from backend.jobs.wakeups import NAME, Wakeups
from tests.wait import wait_until

END = f"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = '{NAME}'
"""


@pytest.fixture
def connection_errors(database_url: str, monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """What the next probes of this database raise, in this order; afterwards they work."""
    errors: list[Exception] = []
    real = asyncpg.connect

    class Failing(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
        async def execute(self, *arguments: Any, **settings: Any) -> Any:
            if errors:
                raise errors.pop(0)
            return await super().execute(*arguments, **settings)

    async def connect(url: str, **settings: Any) -> asyncpg.Connection:
        # Not an app of another database, whose listener probes too.
        own = {"connection_class": Failing} if url == database_url else {}
        return await real(url, **settings, **own)

    monkeypatch.setattr(asyncpg, "connect", connect)
    monkeypatch.setattr(wakeups, "PROBE", 0.5)
    monkeypatch.setattr(wakeups, "RECONNECT", 0.5)
    return errors


async def wait_until_hears(ears: Wakeups, *, hears: bool, within: float = 10) -> None:
    """Wait until it says so."""
    await wait_until(lambda: ears.hears is hears, within)


@pytest.mark.parametrize("error", [InternalClientError, RuntimeError])
async def test_the_listener_reconnects_after_any_error(
    database_url: str, connection_errors: list[Exception], error: type[Exception]
) -> None:
    ears = Wakeups(database_url)
    async with ears.listening():
        await wait_until_hears(ears, hears=True)
        connection_errors.append(error())
        with ears.watching("a job") as woken:
            await wait_until_hears(ears, hears=False)
            assert woken.is_set()
        await wait_until_hears(ears, hears=True)
    assert not ears.hears


async def test_a_closed_listener_connection_is_noticed_at_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "PROBE", 60.0)
    ears = Wakeups(database_url)
    async with ears.listening():
        await wait_until_hears(ears, hears=True)
        connection = await asyncpg.connect(database_url)
        await connection.execute(END)
        await connection.close()
        await wait_until_hears(ears, hears=False, within=2)
