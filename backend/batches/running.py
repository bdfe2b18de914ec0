"""Expand a batch: read its collection page by page, and make a job for each product.

Nothing is open while Shopify is asked. A page's items, their jobs and the cursor behind it commit
together, so whoever goes on after an interruption makes nothing twice. What can be cured by
waiting is waited out; a claim that nobody came back from is a try. Every page renews the tries,
and the patience. One that takes long leaves its place now and then, for another shop's may be
waiting for it.
"""

import asyncio
from datetime import timedelta

import msgspec
import structlog

from backend.batches.failures import (
    BATCH_TOO_LARGE,
    COLLECTION_EMPTY,
    COLLECTION_NOT_FOUND,
    EXPANSION_CRASHED,
    EXPECTED,
    MAX_PRODUCTS,
    ExpansionFailed,
    failure_of,
)
from backend.batches.ledger import (
    PAGE,
    BatchRef,
    Held,
    claim,
    end,
    is_full,
    make_jobs,
    note,
    spare,
    take_in,
)
from backend.batches.states import Expansion
from backend.db import Database
from backend.errors import DatabaseUnavailable
from backend.jobs.failures import SCOPE_MISSING, SHOP_NOT_INSTALLED, WORKFLOW_RETIRED
from backend.jobs.states import Failure
from backend.jobs.timeline import Fenced
from backend.retries import BATCHES, ENOUGH, LOCKED_OUT_PAUSE, asked_for, once_back
from backend.settings import UNLIMITED, Quotas
from backend.shops.admin_api import AdminApi
from backend.shops.collection_answers import CollectionPage
from backend.shops.sealing import UnknownKey
from backend.shops.tokens import NeedsReauth, asked, installed_shop, is_parked
from backend.workflows import WORKFLOWS

log = structlog.get_logger(__name__)

AT_ONCE = timedelta(0)
ROOM_DELAY = timedelta(seconds=30)  # between two looks whether some of the shop's jobs have ended
TURN = 10.0  # seconds; then it leaves its place to a batch that has waited, if there is one
NEXT_TURN = timedelta(milliseconds=100)


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """What expanding works with; `stopping` ends it between two pages."""

    database: Database
    admin: AdminApi
    stopping: asyncio.Event
    quotas: Quotas = UNLIMITED


async def run_expansion(ref: BatchRef, desk: Desk) -> timedelta | None:
    """Take it as far as it goes; how long to wait before going on, or None when that is all."""
    with structlog.contextvars.bound_contextvars(batch_id=ref.public_id):
        try:
            return await claimed_run(ref, desk)
        except Fenced:  # by whoever cancels or retries; a retry has an entry of its own
            log.info("batch_overtaken")
            return None
        except DatabaseUnavailable:
            log.warning("batch_interrupted", code=DatabaseUnavailable.code)
            return BATCHES.pause(1)


async def claimed_run(ref: BatchRef, desk: Desk) -> timedelta | None:
    """Claim it and work on it."""
    async with desk.database.transaction(ref.shop_id) as connection:
        held = await claim(connection, ref)
    if held is None:
        return None
    log.info("batch_claimed", attempt=held.attempt)
    try:
        if held.job_type not in WORKFLOWS:
            raise ExpansionFailed(WORKFLOW_RETIRED)
        if held.tries > BATCHES.crashes:  # it crashes its workers
            raise ExpansionFailed(EXPANSION_CRASHED)
        return await expand(held, desk)
    except DatabaseUnavailable:
        if held.attempt < ENOUGH:
            await spared(held, desk)
        raise
    except EXPECTED as error:
        return await after_failure(held, desk, failure_of(error), error)
    except (NeedsReauth, UnknownKey) as error:
        return await after_lockout(held, desk, error)


async def expand(held: Held, desk: Desk) -> timedelta | None:
    """Page by page; how long to leave the place for, or None when all of it is done."""
    clock = asyncio.get_running_loop().time
    ends = clock() + TURN
    while not await waits_for_room(held, desk):
        further = await next_step(held, desk)
        if further is None:
            log.info("batch_expanded")
            return None
        held = further
        if desk.stopping.is_set():
            await spared(held, desk)
            return AT_ONCE
        if clock() >= ends:
            return NEXT_TURN
    return ROOM_DELAY


async def waits_for_room(held: Held, desk: Desk) -> bool:
    """Whether the shop has as much as it may have at once; to wait for that is no try."""
    async with desk.database.reading(held.ref.shop_id) as connection:
        if not await is_full(connection, held.ref.shop_id, desk.quotas):
            return False
    async with desk.database.transaction(held.ref.shop_id) as connection:
        await note(connection, held)
    log.info("batch_waits_for_room")
    return True


async def next_step(held: Held, desk: Desk) -> Held | None:
    """Read a page of what is still to be read, then make one of jobs; None when that was all."""
    return await (make_page(held, desk) if held.is_read else read_page(held, desk))


async def read_page(held: Held, desk: Desk) -> Held:
    """Read the collection's next page and take it in."""
    page = await next_page(held, desk)
    if page is None:
        raise ExpansionFailed(COLLECTION_NOT_FOUND)
    if page.products_count and page.products_count.count > MAX_PRODUCTS:
        raise ExpansionFailed(BATCH_TOO_LARGE)
    if held.cursor is None and not page.products.nodes:
        raise ExpansionFailed(COLLECTION_EMPTY)
    async with desk.database.transaction(held.ref.shop_id) as connection:
        return await take_in(connection, held, page)


async def next_page(held: Held, desk: Desk) -> CollectionPage | None:
    """The products behind the cursor, or None if the shop has no such collection."""
    shop = await installed_shop(desk.database, desk.admin, held.shop_domain)
    if shop is None:
        raise ExpansionFailed(SHOP_NOT_INSTALLED)
    if not shop.has_granted("read_products"):
        raise ExpansionFailed(SCOPE_MISSING)
    return await asked(
        desk.database,
        desk.admin,
        shop,
        lambda shop: desk.admin.collection_page(
            shop.domain,
            shop.access_token,
            str(held.collection_id),
            first=PAGE,
            after=held.cursor,
        ),
    )


async def make_page(held: Held, desk: Desk) -> Held | None:
    """Make jobs for items that have none; None when those were the last, and it has ended."""
    async with desk.database.transaction(held.ref.shop_id) as connection:
        await note(connection, held)
        if await make_jobs(connection, held) == PAGE:
            return msgspec.structs.replace(held, tries=1, outages=0)
        await end(connection, held.ref, Expansion.EXPANDED)
    return None


async def after_failure(
    held: Held, desk: Desk, failure: Failure, error: Exception
) -> timedelta | None:
    """Wait and try again while that can help, else give up; what has been started goes on."""
    if failure.retryable:
        async with desk.database.transaction(held.ref.shop_id) as connection:
            outages = await spare(connection, held, outages=1)
        if not BATCHES.is_exhausted(BATCHES.waited(outages)):
            log.warning("batch_waits_out", code=failure.code, cause=str(error)[:300])
            return BATCHES.pause(outages, at_least=asked_for(error))
    log.warning("batch_failed", code=failure.code, cause=str(error)[:300])
    async with desk.database.transaction(held.ref.shop_id) as connection:
        await note(connection, held)
        await end(connection, held.ref, Expansion.FAILED, failure)
    return None


async def spared(held: Held, desk: Desk) -> None:
    """Take the claim's try back, as soon as the database is there to be told."""

    async def give_back() -> None:
        async with desk.database.transaction(held.ref.shop_id) as connection:
            await spare(connection, held)

    await once_back(give_back, desk.stopping)


async def after_lockout(held: Held, desk: Desk, error: Exception) -> timedelta | None:
    """Let it wait, off the queue, until a merchant opens the app: housekeeping takes it up then."""
    log.warning("batch_waits", cause=repr(error)[:300])
    async with desk.database.transaction(held.ref.shop_id) as connection:
        parked = await is_parked(connection, held.ref.shop_id)  # the shop first, as an uninstall
        await note(connection, held)
    return None if parked else LOCKED_OUT_PAUSE
