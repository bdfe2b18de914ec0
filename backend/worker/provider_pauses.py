"""Providers that take nothing at the moment: one pause for all processes (`places`)."""

from datetime import datetime, timedelta

from sqlalchemy import case, delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.retries import PROVIDERS
from backend.submissions.models import ProviderPause


async def pause_provider(
    connection: AsyncConnection, provider: str, *, retry_after: float | None
) -> None:
    """Send the provider nothing for a while: longer each time, and not shorter than it asks.

    Requests that it refused at the same time count once.
    """
    outages = await connection.scalar(
        select(ProviderPause.outages).where(ProviderPause.provider == provider)
    )
    asked = timedelta(seconds=retry_after or 0)
    until = func.now() + PROVIDERS.pause((outages or 0) + 1, at_least=asked)
    is_over = ProviderPause.until <= func.now()
    await connection.execute(
        upsert(ProviderPause)
        .values(provider=provider, until=until)
        .on_conflict_do_update(
            index_elements=["provider"],
            set_={
                "until": func.greatest(ProviderPause.until, until),
                "outages": ProviderPause.outages + case((is_over, 1), else_=0),
            },
        )
    )


async def end_pause(
    connection: AsyncConnection, provider: str, *, sent_at: datetime | None
) -> None:
    """The provider has taken a request; one that was sent before the pause says nothing of it."""
    await connection.execute(
        delete(ProviderPause).where(
            ProviderPause.provider == provider, ProviderPause.until <= sent_at
        )
    )


async def outage_seconds(connection: AsyncConnection, provider: str) -> float:
    """For how long the provider has taken nothing; 0 if it takes requests."""
    since = func.extract("epoch", func.now() - ProviderPause.since)
    found = await connection.scalar(select(since).where(ProviderPause.provider == provider))
    return float(found or 0)
