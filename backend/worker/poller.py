"""Looks after the submissions of jobs that have left the queue: no job waits in a worker's place.

Each process looks every second for what is due (`wake_at`), and takes it from the others for a
while. It asks the providers, many at once, and writes only when to ask again. Once a request has
finished or failed, its job is put on the queue, and collects the result itself. A callback does no
more than make its submission due now. So does time for everything else: a lost answer, a deadline,
a job on the queue whose entry was dropped, and a place that has become free.

Requests of jobs that have ended meanwhile (cancelled, erased, past a deadline) are cancelled at the
provider; what they have cost is stored, and their pictures are never fetched.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from itertools import count, groupby
from typing import NamedTuple

import structlog
from sqlalchemy import func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.errors import DatabaseUnavailable
from backend.jobs.models import Job
from backend.jobs.service import JobRef, enqueue_jobs
from backend.jobs.states import UNFINISHED
from backend.metrics import POSSIBLE_DOUBLE_COSTS, PROVIDER_COST, start_at_zero
from backend.providers.provider import Provider, ProviderFailed, ProviderUnavailable, Running
from backend.retries import PROVIDERS, jittered
from backend.submissions.models import Submission
from backend.submissions.records import (
    SUBMISSION_COLUMNS,
    StoredSubmission,
    submission_of,
    this_submission,
    wake_later,
)
from backend.submissions.states import IN_FLIGHT, SubmissionStatus
from backend.worker.ended_submissions import stop_submission
from backend.worker.places import call_waiting, cancel_waiting
from backend.worker.provider_calls import next_poll, poll_provider
from backend.worker.provider_pauses import pause_provider
from backend.workflows.stages import StageName

log = structlog.get_logger(__name__)

LOOK_INTERVAL = 1.0  # seconds between two looks
POLLS_AT_ONCE = 100  # of one process
WRITES_AT_ONCE = 2  # of them: the other connections are for the jobs that run meanwhile
SUBMISSION_LEASE = timedelta(seconds=90)  # after a crash of the poller, another one takes them up
ENQUEUED_AGAIN = timedelta(seconds=20)  # a job whose queue entry was dropped
TIDY_EVERY = 15  # looks
LAST_LOOK = 5.0  # seconds to finish with, when the process is to stop
AFTER_AN_OUTAGE = 5.0  # seconds, of the database


class DueSubmission(NamedTuple):
    """A submission to look after, and whether its job still wants it."""

    stored: StoredSubmission
    is_wanted: bool


class Poller:
    """The loop of one process. `providers` make their stages, as in `WorkerContext`."""

    def __init__(self, database: Database, providers: Mapping[StageName, Provider]) -> None:
        self.database = database
        self.providers = providers
        self.by_name = {provider.name: provider for provider in providers.values()}
        self.stopping = asyncio.Event()
        self.under_way: set[asyncio.Task[None]] = set()
        self.writes = asyncio.Semaphore(WRITES_AT_ONCE)

    async def run(self) -> None:
        """Look until told to stop. What goes wrong is logged, and looked at again."""
        for look in count():
            if self.stopping.is_set():
                return
            pause = jittered(LOOK_INTERVAL)
            try:
                await self.begin()
                await self.fill_places()
                if look % TIDY_EVERY == 0:
                    await self.tidy()
            except DatabaseUnavailable:
                pause = jittered(AFTER_AN_OUTAGE)
            except Exception as error:
                log.error("poller_broke", exc_info=error)
                pause = jittered(AFTER_AN_OUTAGE)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), pause)

    async def begin(self) -> None:
        """Begin to look after what is due, and leave the answers to come when they come.

        A provider that does not answer keeps nobody else waiting.
        """
        free = POLLS_AT_ONCE - len(self.under_way)
        for due in await self.take_due(free) if free > 0 else ():
            task = asyncio.create_task(self.look_after(due))
            self.under_way.add(task)
            task.add_done_callback(self.under_way.discard)

    async def look(self) -> int:
        """Look after a slice of what is due, to the end; how many there were."""
        due = await self.take_due(POLLS_AT_ONCE)
        await asyncio.gather(*(self.look_after(each) for each in due))
        return len(due)

    async def take_due(self, most: int) -> list[DueSubmission]:
        """Take that many of what is due from the other processes, for a while."""
        keys = (Submission.shop_id, Submission.job_id, Submission.stage, Submission.number)
        found = (
            select(*keys)
            .where(
                Submission.status.in_((*IN_FLIGHT, SubmissionStatus.READY)),
                Submission.wake_at <= func.now(),
                Submission.provider.in_(self.by_name),
            )
            .order_by(Submission.wake_at)
            .limit(most)
            .with_for_update(skip_locked=True)
            .cte("due")
        )
        wanted = select(Job.public_id).where(
            Job.shop_id == Submission.shop_id,
            Job.public_id == Submission.job_id,
            Job.status.in_(UNFINISHED),
        )
        take = (
            update(Submission)
            .where(tuple_(*keys) == tuple_(*found.c))
            .values(wake_at=func.now() + SUBMISSION_LEASE)
            .returning(*SUBMISSION_COLUMNS, wanted.exists().label("is_wanted"))
        )
        async with self.database.transaction() as connection:
            rows = (await connection.execute(take)).mappings().all()
        return [DueSubmission(submission_of(row), row["is_wanted"]) for row in rows]

    async def look_after(self, due: DueSubmission) -> None:
        """What is to be done with one of them; an error leaves it to the next look."""
        stored = due.stored
        provider = self.providers.get(StageName(stored.key.stage))
        if provider is None or provider.name != stored.provider:
            provider = self.by_name[stored.provider]
        try:
            if not due.is_wanted:
                await stop_submission(self.database, self.writing, provider, stored)
            elif stored.status == SubmissionStatus.SUBMITTED and stored.provider_job_id:
                await self.ask(provider, stored)
            else:
                await self.wake_job(stored)
        except DatabaseUnavailable:
            log.warning("submission_left", job_id=stored.key.job_id)
        except Exception as error:
            log.error("submission_broke", job_id=stored.key.job_id, exc_info=error)

    async def ask(self, provider: Provider, stored: StoredSubmission) -> None:
        """Ask the provider how far it is; wake the job if there is something for it to do."""
        job = stored.provider_job
        assert job is not None
        try:
            answer = await poll_provider(provider, job)
        except ProviderFailed:
            await self.wake_job(stored)
            return
        except ProviderUnavailable as error:
            await self.wait_out(provider, stored, error)
            return
        if not isinstance(answer, Running) or stored.since_deadline >= 0:
            await self.wake_job(stored)
            return
        async with self.writing(stored.key.shop_id) as connection:
            delay = next_poll(stored)
            await wake_later(connection, stored.key, delay, has_answered=True)

    async def wait_out(
        self, provider: Provider, stored: StoredSubmission, error: ProviderUnavailable
    ) -> None:
        """Ask again later; after hours, let the job give up."""
        log.warning("provider_unavailable", provider=provider.name, cause=str(error)[:300])
        if PROVIDERS.is_exhausted(PROVIDERS.waited(stored.outages + 1)):
            await self.wake_job(stored)
            return
        asked = timedelta(seconds=error.retry_after or 0)
        pause = PROVIDERS.pause(stored.outages + 1, at_least=asked)
        async with self.writing() as connection:
            await wake_later(connection, stored.key, pause, is_outage=True)
            if error.retry_after:
                await pause_provider(connection, provider.name, retry_after=error.retry_after)

    async def wake_job(self, stored: StoredSubmission) -> None:
        """Put the job on the queue; what the provider was asked about is READY with that."""
        key = stored.key
        async with self.writing(key.shop_id) as connection:
            await connection.execute(
                update(Submission)
                .where(*this_submission(key, SubmissionStatus.SUBMITTED))
                .values(status=SubmissionStatus.READY)
            )
            await connection.execute(
                update(Submission)
                .where(*this_submission(key, SubmissionStatus.INTENDED, SubmissionStatus.READY))
                .values(wake_at=func.now() + ENQUEUED_AGAIN)
            )
            await enqueue_begun(connection, [JobRef(shop_id=key.shop_id, public_id=key.job_id)])

    @asynccontextmanager
    async def writing(self, shop_id: int | None = None) -> AsyncIterator[AsyncConnection]:
        """A transaction, once few enough of this loop are open."""
        async with self.writes, self.database.transaction(shop_id) as connection:
            yield connection

    async def fill_places(self) -> None:
        """Wake the jobs whose turn it is."""
        for provider in self.by_name.values():
            async with self.database.transaction() as connection:
                await enqueue_begun(connection, await call_waiting(connection, provider))

    async def tidy(self) -> None:
        """Settle what ended jobs have left behind."""
        async with self.database.transaction() as connection:
            await cancel_waiting(connection)


async def enqueue_begun(connection: AsyncConnection, refs: Sequence[JobRef]) -> None:
    """Put these jobs on the queue, each before its shop's backlog."""
    by_shop = sorted(refs, key=lambda ref: ref.shop_id)
    for shop_id, of_shop in groupby(by_shop, key=lambda ref: ref.shop_id):
        await enqueue_jobs(connection, shop_id, list(of_shop), have_begun=True)


@asynccontextmanager
async def polling(
    database: Database, providers: Mapping[StageName, Provider]
) -> AsyncIterator[None]:
    """Poll until the block ends, if there are hosted providers."""
    if not providers:
        yield
        return
    poller = Poller(database, providers)
    for counter in (POSSIBLE_DOUBLE_COSTS, PROVIDER_COST):
        start_at_zero(counter, poller.by_name)
    task = asyncio.create_task(poller.run())
    try:
        yield
    finally:
        poller.stopping.set()
        await asyncio.wait([task, *poller.under_way], timeout=LAST_LOOK)
        for left in (task, *poller.under_way):
            left.cancel()
        await asyncio.wait([task])
