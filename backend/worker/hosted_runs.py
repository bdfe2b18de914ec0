"""How one run of a job at a hosted stage ends: collected, failed, or off the queue for a while.

`hosted_stages` decides which. Each transaction writes the job before its submission: two workers
that think they have the job then wait for each other in one order, and the one that is fenced has
counted nothing.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import structlog

from backend.errors import DatabaseUnavailable
from backend.failures.registry import Failure
from backend.jobs.lifecycle import Checkpoint, fail, wait_for_provider
from backend.leased_task import Fenced
from backend.providers.provider import (
    Finished,
    Provider,
    ProviderCost,
    ProviderFailed,
    ProviderUnavailable,
)
from backend.retries import JOBS, retry_until_database_is_back
from backend.submissions.records import (
    StoredSubmission,
    collect_submission,
    latest_submission,
    settle_submission,
    wake_later,
)
from backend.submissions.states import SubmissionStatus
from backend.worker.hosted_requests import usable_picture
from backend.worker.provider_calls import FIRST_POLL, GRACE
from backend.worker.stage_records import MadeStage, note_stage, record_stage
from backend.worker.stages import JobRun, StageFailed, store_files, wait_out_outage
from backend.workflows.stages import Stage

log = structlog.get_logger(__name__)

MOST_SUBMISSIONS = 2  # for a stage of a job: the first, and one repetition


class HostedRun:
    """One run of a job at a stage of a hosted provider; `stages` are all of the job's."""

    def __init__(
        self,
        stage: Stage,
        stages: Sequence[Stage],
        job_run: JobRun,
        provider: Provider,
        *,
        is_last: bool,
    ) -> None:
        self.stage, self.stages, self.job_run = stage, stages, job_run
        self.provider, self.is_last = provider, is_last
        self.ref, self.context = job_run.ref, job_run.context
        self.database = job_run.context.database

    async def newest(self) -> StoredSubmission | None:
        """The stage's newest submission."""
        async with self.database.reading(self.ref.shop_id) as connection:
            return await latest_submission(
                connection,
                shop_id=self.ref.shop_id,
                job_id=self.ref.public_id,
                stage=self.stage.name,
            )

    async def deliver(self, stored: StoredSubmission, finished: Finished) -> bool:
        """Store the result; the stage and the submission end in one transaction.

        Raises `ProviderFailed` and `ProviderUnavailable`.
        """
        result = await usable_picture(self.stage, self.job_run, self.provider, stored, finished)
        keys, artifacts = await store_files(self.stage, result, self.job_run)
        made = MadeStage(
            stage=self.stage,
            stages=self.stages,
            checkpoint=Checkpoint(files=keys, facts=result.facts),
            artifacts=artifacts,
            is_last=self.is_last,
        )
        async with self.database.transaction(self.ref.shop_id) as connection:
            await record_stage(connection, self.job_run, made)
            await collect_submission(
                connection,
                stored,
                model=finished.model,
                seed=result.facts["seed"],
                cost=finished.cost,
            )
        note_stage(self.job_run, made)
        return True

    async def deliver_answer(self, stored: StoredSubmission, finished: Finished) -> bool:
        """`deliver` what only this process has: a storage or database that is away is waited for.

        For the storage as long as any job does: to ask the provider again would be paid.
        """
        while True:
            try:
                return await self.deliver(stored, finished)
            except DatabaseUnavailable:
                if not await self.is_uncollected():
                    raise
                continue
            except StageFailed as error:
                if error.away is None or self.context.stopping.is_set():
                    raise
                outage = error
            async with self.database.transaction(self.ref.shop_id) as connection:
                outages = await wait_out_outage(connection, self.job_run, outage)
                pause = JOBS.pause(outages)
                await wake_later(connection, stored.key, pause + GRACE)
            if JOBS.is_exhausted(JOBS.waited(outages)):
                return await self.end(stored, outage.failure, finished.cost)
            log.warning("job_waits_out", code=outage.failure.code, outages=outages)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.context.stopping.wait(), pause.total_seconds())

    async def is_uncollected(self) -> bool:
        """Whether the result is certainly not stored, as soon as the database is back."""
        newest: StoredSubmission | None = None

        async def look() -> None:
            nonlocal newest
            newest = await self.newest()

        await retry_until_database_is_back(look, self.context.stopping)
        return newest is not None and newest.status == SubmissionStatus.SUBMITTED

    async def fail_submission(self, stored: StoredSubmission, error: ProviderFailed) -> bool:
        """The provider's last word: ask once more if that can help, else end the job with it."""
        log.warning(
            "provider_failed",
            provider=self.provider.name,
            code=error.failure.code,
            provider_code=error.provider_code[:100],
        )
        if not error.failure.retryable or stored.key.number >= MOST_SUBMISSIONS:
            return await self.end(stored, error.failure, error.cost)
        async with self.database.transaction(self.ref.shop_id) as connection:
            await settle_submission(
                connection, stored, SubmissionStatus.FAILED, failure=error.failure, cost=error.cost
            )
        raise StageFailed(error.failure) from error

    async def end(
        self, stored: StoredSubmission, failure: Failure, cost: ProviderCost | None = None
    ) -> bool:
        """End the submission, if it is open, and the job in one transaction.

        The `cost` is the provider's word: it is stored even if somebody else has the job now.
        """
        how = (stored, SubmissionStatus.FAILED)
        try:
            async with self.database.transaction(self.ref.shop_id) as connection:
                await fail(connection, self.job_run.claimed, failure)
                await settle_submission(connection, *how, failure=failure, cost=cost)
        except Fenced:
            if cost is not None:
                async with self.database.transaction(self.ref.shop_id) as connection:
                    await settle_submission(connection, *how, failure=failure, cost=cost)
            raise
        log.warning("job_failed", code=failure.code)
        return False

    async def stop_waiting(self, stored: StoredSubmission, failure: Failure) -> bool:
        """End the job; the poller stops the request, and stores what it costs all the same."""
        async with self.database.transaction(self.ref.shop_id) as connection:
            await fail(connection, self.job_run.claimed, failure)
            await wake_later(connection, stored.key, FIRST_POLL, failure=failure)
        log.warning("job_failed", code=failure.code)
        return False

    async def leave(
        self,
        stored: StoredSubmission,
        delay: timedelta,
        *,
        cause: ProviderUnavailable | None = None,
        has_answered: bool = False,
    ) -> bool:
        """Let the job wait off the queue; the poller looks at the submission after `delay`."""
        if cause is not None:
            log.warning("provider_unavailable", provider=self.provider.name, cause=str(cause)[:300])
        async with self.database.transaction(self.ref.shop_id) as connection:
            await wait_for_provider(connection, self.job_run.claimed)
            await wake_later(
                connection,
                stored.key,
                delay,
                is_outage=cause is not None,
                has_answered=has_answered,
            )
        return False
