"""Random histories of a ledger: writers that act at once, and what they have been told.

A writer's act is one transaction with the product's own code. Some of them crash before the commit:
the act raises, or its session is killed. Only what was committed is remembered.
"""

import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.credits.grants import GrantSource, grant_credits
from backend.credits.lots import expire_lots, void_lot
from backend.db import Database
from backend.errors import (
    DatabaseUnavailable,
    InsufficientBalance,
    JobAlreadyFinished,
    JobNotFound,
    RequestInProgress,
)
from backend.failures.codes import SHOP_UNINSTALLED, STORAGE_UNAVAILABLE
from backend.jobs.asked_by import AskedBy
from backend.jobs.cancellation import cancel_job
from backend.jobs.completion import fail_unfinished
from backend.jobs.creation import make_job
from backend.jobs.idempotency import Repeatable
from backend.jobs.lifecycle import fail, lease_job, succeed
from backend.jobs.service import JobRef, request_jobs
from backend.leased_task import Fenced
from backend.settings import UNLIMITED
from backend.workflows import WORKFLOWS
from backend.workflows.catalog_image import CATALOG_IMAGE
from backend.workflows.offer import WorkflowOffer
from tests.running_app import RunningApp

PREPAID = msgspec.structs.replace(UNLIMITED, prepaid=True)
ASKED = msgspec.convert({"product_id": "gid://shopify/Product/1"}, CATALOG_IMAGE.request)
SOURCES: tuple[GrantSource, ...] = ("plan", "pack", "manual")
KEYS, CHARGES = 12, 15  # that writers share, so that they replay each other's
CRASHES, KILLS = 0.08, 0.02  # of all acts
DEADLOCK = "40P01"


class Crashed(Exception):
    """The writer died before its commit."""


class Told(msgspec.Struct):
    """What the writers know to be committed."""

    grants: dict[tuple[str, str], int] = {}  # amounts
    jobs: dict[str, int] = {}  # prices
    answers: dict[str, str] = {}  # the job of each idempotency key
    ends: dict[str, str] = {}  # "capture" or "release", of jobs that a writer has ended by itself
    refused: int = 0


class History:
    """One shop's ledger, and the acts that change it."""

    def __init__(self, owner: Database, database: Database, shop: str, shop_id: int) -> None:
        self.owner, self.database = owner, database
        self.shop, self.shop_id = shop, shop_id
        self.told = Told()

    async def run_writer(self, chance: random.Random, steps: int) -> None:
        """Do so many things, one after another."""
        acts = list(ACTS)
        for _ in range(steps):
            [act] = chance.choices(acts, [ACTS[each] for each in acts])
            try:
                await act(self, chance)
            except InsufficientBalance:
                self.told.refused += 1
            except DatabaseUnavailable as error:
                if sqlstate_of(error) == DEADLOCK:
                    raise AssertionError(f"{act.__name__} ran into a deadlock") from error
            except (Crashed, Fenced, JobAlreadyFinished, JobNotFound, RequestInProgress):
                pass

    @contextlib.asynccontextmanager
    async def transaction(self, chance: random.Random) -> AsyncIterator[AsyncConnection]:
        """A transaction that may not live to its commit."""
        fate = chance.random()
        async with self.database.transaction(self.shop_id) as connection:
            yield connection
            if fate < KILLS:
                await self.kill_session(await connection.scalar(text("SELECT pg_backend_pid()")))
            if fate < KILLS + CRASHES:
                raise Crashed

    async def kill_session(self, pid: int) -> None:
        """End a session; it is gone when this returns."""
        async with self.owner.reading() as connection:
            killed = text("SELECT pg_terminate_backend(:pid, 5000)")
            assert await connection.scalar(killed, {"pid": pid})

    def unfinished(self, chance: random.Random) -> JobRef:
        """One of the jobs, of which nobody knows an end."""
        left = [job for job in self.told.jobs if job not in self.told.ends]
        if not left:
            raise JobNotFound
        return JobRef(shop_id=self.shop_id, public_id=chance.choice(left))


async def create(history: History, chance: random.Random) -> None:
    """Ask for a job, some with a key that others use too: then there is one job for all."""
    key = str(chance.randrange(KEYS)) if chance.random() < 0.5 else None
    repeatable = Repeatable(route="POST /v1/catalog-image", key=key, body=b"{}") if key else None
    async with history.transaction(chance) as connection:
        made = await make_job(
            connection,
            CATALOG_IMAGE,
            ASKED,
            shop_domain=history.shop,
            asked_by=AskedBy(kind="signed_request"),
            request_id="of-a-history",
            repeatable=repeatable,
            offer=WorkflowOffer(),
            quotas=PREPAID,
        )
    job = made.answer.job_id
    if key:
        assert history.told.answers.setdefault(key, job) == job, "two jobs for one key"
    assert made.is_replay or job not in history.told.jobs
    history.told.jobs[job] = made.answer.credits_cost


async def create_many(history: History, chance: random.Random) -> None:
    """A batch's page: all of its jobs or none."""
    workflow = chance.choice(list(WORKFLOWS.values()))
    async with history.transaction(chance) as connection:
        refs = await request_jobs(
            connection,
            workflow,
            shop_id=history.shop_id,
            requests=[{}] * chance.randint(1, 4),
            origin="api",
            quotas=PREPAID,
        )
    history.told.jobs |= {ref.public_id: workflow.credits_cost for ref in refs}


async def work(history: History, chance: random.Random) -> None:
    """A worker claims a job and ends it, or is never seen again."""
    ref = history.unfinished(chance)
    async with history.transaction(chance) as connection:
        lease = await lease_job(connection, ref)
    if lease is None:
        return  # has ended, or ended here after too many workers that were never seen again
    fate = chance.random()
    if fate < 0.2:
        return
    async with history.transaction(chance) as connection:
        if fate < 0.7:
            await succeed(connection, lease, {})
        else:
            await fail(connection, lease, STORAGE_UNAVAILABLE)
    history.told.ends[ref.public_id] = "capture" if fate < 0.7 else "release"


async def cancel(history: History, chance: random.Random) -> None:
    """The merchant cancels a job."""
    ref = history.unfinished(chance)
    async with history.transaction(chance) as connection:
        await cancel_job(connection, shop_domain=history.shop, public_id=ref.public_id)
    history.told.ends[ref.public_id] = "release"


async def end_all(history: History, chance: random.Random) -> None:
    """All unfinished jobs end, as they do when the shop removes the app."""
    async with history.transaction(chance) as connection:
        await fail_unfinished(connection, history.shop_id, SHOP_UNINSTALLED)


async def grant(history: History, chance: random.Random) -> None:
    """A charge is told of, by whoever comes first, in any order and any number of times."""
    number = chance.randrange(CHARGES)
    source, ref, amount = SOURCES[number % len(SOURCES)], f"charge-{number}", 5 + number
    lifetime = (None, timedelta(milliseconds=50), timedelta(hours=1))[number % 4 % 3]
    async with history.transaction(chance) as connection:
        is_new = await grant_credits(
            connection,
            history.shop_id,
            source=source,
            ref=ref,
            amount=amount,
            expires_at=datetime.now(UTC) + lifetime if lifetime else None,
        )
    if is_new:
        assert (source, ref) not in history.told.grants, "one charge, two grants"
        history.told.grants[source, ref] = amount


async def expire(history: History, chance: random.Random) -> None:
    """Lots whose time is over are closed."""
    async with history.transaction(chance) as connection:
        await expire_lots(connection, history.shop_id)


async def refund(history: History, chance: random.Random) -> None:
    """The money of a charge goes back."""
    number = chance.randrange(CHARGES)
    source = SOURCES[number % len(SOURCES)]
    async with history.transaction(chance) as connection:
        await void_lot(connection, history.shop_id, source=source, ref=f"charge-{number}")


async def forget(history: History, chance: random.Random) -> None:
    """A job that has ended is deleted, as after `RETENTION_JOBS_DAYS`."""
    async with history.transaction(chance) as connection:
        await connection.execute(
            text(
                "DELETE FROM jobs WHERE shop_id = :shop AND public_id = (SELECT min(public_id) "
                "FROM jobs WHERE shop_id = :shop AND status IN ('SUCCESS', 'FAILURE'))"
            ),
            {"shop": history.shop_id},
        )


ACTS: dict[Callable[[History, random.Random], Awaitable[None]], int] = {
    create: 30,
    create_many: 10,
    work: 40,
    cancel: 6,
    end_all: 1,
    grant: 14,
    expire: 4,
    refund: 2,
    forget: 3,
}


def sqlstate_of(error: BaseException | None) -> str | None:
    """Postgres's code for what made the database unavailable."""
    while error is not None:
        found: Any = getattr(error, "orig", error)
        if code := getattr(found, "sqlstate", None):
            return str(code)
        error = error.__cause__
    return None


async def new_history(running_app: RunningApp, database: Database, shop: str) -> History:
    """The history of a shop that has just installed the app, with credits to begin with."""
    await running_app.install(shop)
    rows = await running_app.rows("SELECT id FROM shops WHERE domain = :d", d=shop)
    history = History(running_app.owner, database, shop, rows[0]["id"])
    async with database.transaction(history.shop_id) as connection:
        await grant_credits(
            connection, history.shop_id, source="trial", ref="trial", amount=20, expires_at=None
        )
    history.told.grants["trial", "trial"] = 20
    return history
