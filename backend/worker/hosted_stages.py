"""A stage that a hosted provider makes: ask once, leave the queue, collect once.

| the stage's newest submission | this run                                                       |
|-------------------------------|----------------------------------------------------------------|
| none, WAITING                 | takes a place, commits the intent, sends; or waits for a place |
| INTENDED                      | looks for the lost answer; later sends again, or gives it up   |
| SUBMITTED, READY              | asks the provider once more; collects, fails, or waits on      |
| COLLECTED                     | collects again: the stored picture was lost                    |
| FAILED, LOST                  | asks once more if that may be, else ends the job               |

No transaction is open while the provider works. Nothing is sent before its intent is committed, and
what the provider says is stored whoever has the job by then. So a provider may be paid twice for a
stage only where it cannot be asked about a lost answer; then `possible_double_cost` says so.
"""

import time
from datetime import timedelta

import structlog

from backend.errors import DatabaseUnavailable
from backend.failures.codes import (
    ANSWER_LOST,
    PROVIDER_FAILED,
    PROVIDER_OUTPUT_INVALID,
    PROVIDER_TIMEOUT,
    PROVIDER_UNAVAILABLE,
)
from backend.jobs.lifecycle import wait_for_provider
from backend.leased_task import Fenced
from backend.providers.provider import (
    AnswerLost,
    Finished,
    ProviderCost,
    ProviderFailed,
    ProviderJob,
    ProviderUnavailable,
    RequestUnknown,
    Running,
    SubmitRequest,
)
from backend.retries import PROVIDERS, retry_until_database_is_back
from backend.submissions.records import (
    StoredSubmission,
    SubmissionKey,
    record_answer,
    record_surplus,
    settle_submission,
    unsend,
)
from backend.submissions.states import IN_FLIGHT, SubmissionStatus
from backend.worker.hosted_requests import (
    find_request,
    input_digests,
    sent_since,
    submission_seed,
    submit_request,
)
from backend.worker.hosted_runs import MOST_SUBMISSIONS, HostedRun
from backend.worker.places import take_place
from backend.worker.provider_calls import (
    FIRST_POLL,
    GRACE,
    SEND_WITHIN,
    cancel_request,
    confirmed_hint,
    found_request,
    known_requests,
    next_poll,
    poll_provider,
    send_request,
)
from backend.worker.provider_pauses import end_pause, outage_seconds, pause_provider
from backend.worker.stages import StageFailed

log = structlog.get_logger(__name__)

LOOK_AGAIN = timedelta(seconds=15)  # for a lost answer, where the provider can be asked


class HostedStage(HostedRun):
    """One run of a job at such a stage."""

    async def run(self) -> bool:
        """Take the stage as far as it goes; False if the job waits off the queue, or has ended.

        Raises `StageFailed` and `Fenced`.
        """
        stored = await self.newest()
        if stored is None:
            return await self.submit(1)
        is_in_flight = stored.status in {*IN_FLIGHT, SubmissionStatus.READY}
        if is_in_flight and stored.provider != self.provider.name:  # another engine was chosen
            return await self.give_up(stored)
        step = {
            SubmissionStatus.WAITING: self.submit_waiting,
            SubmissionStatus.INTENDED: self.look_for,
            SubmissionStatus.SUBMITTED: self.collect,
            SubmissionStatus.READY: self.collect,
            SubmissionStatus.COLLECTED: self.collect_again,
            SubmissionStatus.FAILED: self.repeat,
            SubmissionStatus.LOST: self.repeat,
        }.get(SubmissionStatus(stored.status))
        if step is None:  # it was cancelled, because the job has ended
            raise Fenced(self.ref.public_id)
        return await step(stored)

    # Asking

    async def submit_waiting(self, stored: StoredSubmission) -> bool:
        """Take a place now, unless the provider has been away for longer than anybody waits."""
        async with self.database.transaction() as connection:
            away = await outage_seconds(connection, self.provider.name)
        waited = timedelta(seconds=min(away, stored.since_creation))
        if PROVIDERS.is_exhausted(waited):
            return await self.end(stored, PROVIDER_UNAVAILABLE)
        return await self.submit(stored.key.number)

    async def submit(self, number: int) -> bool:
        """Commit the intent to send the request, then send it; or wait for a place."""
        key = SubmissionKey(
            shop_id=self.ref.shop_id,
            job_id=self.ref.public_id,
            stage=self.stage.name,
            number=number,
        )
        request = await submit_request(self.stage, self.job_run, key, self.provider)
        async with self.database.transaction() as connection:
            started = time.monotonic()
            intended_at = await take_place(
                connection,
                self.job_run.claimed,
                key,
                self.provider,
                seed=submission_seed(self.job_run, key),
                inputs=input_digests(request),
                has_callback=request.callback_url is not None,
                wake_in=GRACE,
                deadline=self.context.deadlines[self.stage.name],
            )
            if intended_at is None:
                await wait_for_provider(connection, self.job_run.claimed)
                return False
        stored = await self.newest()
        if stored is None or stored.intended_at != intended_at:
            raise Fenced(self.ref.public_id)
        if time.monotonic() - started > SEND_WITHIN:  # the machine slept: others may have given up
            return await self.wait_for_place(stored)
        return await self.send(stored, request)

    async def send(self, stored: StoredSubmission, request: SubmitRequest) -> bool:
        """Send the request, and store what the provider says to it."""
        try:
            answer = await send_request(self.provider, request)
        except ProviderUnavailable as error:
            log.warning("provider_unavailable", provider=self.provider.name, cause=str(error)[:300])
            async with self.database.transaction() as connection:
                await pause_provider(connection, self.provider.name, retry_after=error.retry_after)
            return await self.wait_for_place(stored)
        except ProviderFailed as error:
            return await self.fail_submission(stored, error)
        except AnswerLost as error:
            log.warning("answer_lost", provider=self.provider.name, cause=str(error)[:300])
            return await self.leave(stored, LOOK_AGAIN if self.provider.can_find else GRACE)
        if isinstance(answer, Finished):
            return await self.keep(stored, answer)
        return await self.accept(stored, answer)

    async def accept(self, stored: StoredSubmission, job: ProviderJob) -> bool:
        """Store the provider's id, then leave the queue until it has finished."""
        if not await self.store_answer(stored, job, wake_in=FIRST_POLL):
            return await self.decline(stored, job)
        async with self.database.transaction(self.ref.shop_id) as connection:
            await wait_for_provider(connection, self.job_run.claimed)
        return False

    async def store_answer(
        self,
        stored: StoredSubmission,
        job: ProviderJob | None,
        *,
        wake_in: timedelta,
        cost: ProviderCost | None = None,
    ) -> bool:
        """`record_answer`, as soon as the database is back: only this process has the answer.

        Raises `DatabaseUnavailable` if this process is to stop before that.
        """
        is_stored: bool | None = None

        async def attempt() -> None:
            nonlocal is_stored
            async with self.database.transaction() as connection:
                await end_pause(connection, self.provider.name, sent_at=stored.intended_at)
                is_intent = await record_answer(
                    connection, stored.key, stored.intended_at, job, wake_in=wake_in, cost=cost
                )
            is_stored = is_intent

        await retry_until_database_is_back(attempt, self.context.stopping)
        if is_stored is None:
            raise DatabaseUnavailable
        return is_stored

    async def keep(self, stored: StoredSubmission, answer: Finished) -> bool:
        """Store that a synchronous provider has been paid, then its result, in the same run."""
        if not await self.store_answer(stored, None, wake_in=GRACE, cost=answer.cost):
            async with self.database.transaction() as connection:
                await record_surplus(connection, stored.key, self.provider.name, None)
            raise Fenced(self.ref.public_id)
        try:
            return await self.deliver_answer(stored, answer)
        except ProviderFailed as error:
            return await self.fail_submission(stored, error)
        except ProviderUnavailable as error:
            raise StageFailed(PROVIDER_OUTPUT_INVALID) from error

    async def decline(self, stored: StoredSubmission, job: ProviderJob) -> bool:
        """The intent was given up meanwhile, so this answer is one too many: counted, cancelled."""
        async with self.database.transaction() as connection:
            is_surplus = await record_surplus(connection, stored.key, self.provider.name, job.id)
        if is_surplus:
            log.warning("surplus_request", provider=self.provider.name, provider_job_id=job.id)
            await cancel_request(self.provider, job)
        raise Fenced(self.ref.public_id)

    async def wait_for_place(self, stored: StoredSubmission) -> bool:
        """The provider has not taken the request: wait until there is a place again."""
        async with self.database.transaction(self.ref.shop_id) as connection:
            await unsend(connection, stored.key, stored.intended_at)
        async with self.database.transaction(self.ref.shop_id) as connection:
            await wait_for_provider(connection, self.job_run.claimed)
        return False

    async def repeat(self, stored: StoredSubmission) -> bool:
        """Ask once more after a request that failed or was lost, if that may be."""
        failure = stored.failure or ANSWER_LOST
        if stored.key.number < MOST_SUBMISSIONS and failure.retryable:
            return await self.submit(stored.key.number + 1)
        return await self.end(stored, failure)

    # A lost answer

    async def look_for(self, stored: StoredSubmission) -> bool:
        """Find the request whose answer was lost; after a while, send it again or give it up."""
        is_over = timedelta(seconds=stored.since_intent) >= GRACE
        can_find = self.provider.can_find
        known = await known_requests(self.database, stored) if can_find else None
        try:
            job = await confirmed_hint(self.database, self.provider, stored)
            if job is None and known is not None:
                request, since = find_request(stored), sent_since(stored)
                job = await found_request(self.provider, request, since, known)
        except ProviderUnavailable as error:
            if PROVIDERS.is_exhausted(PROVIDERS.waited(stored.outages + 1)):
                return await self.give_up(stored)
            return await self.leave(stored, PROVIDERS.pause(stored.outages + 1), cause=error)
        if job is not None:
            log.info("answer_found", provider=self.provider.name, provider_job_id=job.id)
            return await self.accept(stored, job)
        if not is_over:
            rest = GRACE - timedelta(seconds=stored.since_intent)
            return await self.leave(stored, rest if known is None else min(rest, LOOK_AGAIN))
        has_same_key = stored.key_fingerprint == self.provider.key_fingerprint
        if known is not None and has_same_key:  # the provider does not have it, nor will it come
            return await self.submit(stored.key.number)
        return await self.give_up(stored)

    async def give_up(self, stored: StoredSubmission) -> bool:
        """Settle a request of which nobody knows whether it was paid; ask once more."""
        async with self.database.transaction(self.ref.shop_id) as connection:
            await settle_submission(
                connection, stored, SubmissionStatus.LOST, possible_double_cost=True
            )
        log.warning("submission_lost", provider=stored.provider, number=stored.key.number)
        lost = await self.newest()
        assert lost is not None
        return await self.repeat(lost)

    # Collecting

    async def collect(self, stored: StoredSubmission) -> bool:
        """Ask the provider how far it is, and store what it has made."""
        job = stored.provider_job
        if job is None:  # a synchronous answer, which went with the process that had it
            return await self.give_up(stored)
        try:
            answer = await poll_provider(self.provider, job)
            if isinstance(answer, Running):
                return await self.wait_on(stored)
            return await self.deliver(stored, answer)
        except RequestUnknown:  # it was accepted, so it may have been paid
            return await self.give_up(stored)
        except ProviderFailed as error:
            return await self.fail_submission(stored, error)
        except ProviderUnavailable as error:
            return await self.wait_out(stored, error)

    async def collect_again(self, stored: StoredSubmission) -> bool:
        """Replace a stored picture that was lost: by the provider's own copy, or by a new one.

        While the provider cannot be asked for its copy, the job waits for as long as for one that
        takes no requests: a new one would be paid.
        There are no more new ones than repetitions of other requests.
        """
        try:
            if job := stored.provider_job:
                answer = await poll_provider(self.provider, job)
                if isinstance(answer, Finished):
                    return await self.deliver(stored, answer)
        except ProviderFailed as error:
            log.info("collected_result_gone", provider_code=error.provider_code)
        except ProviderUnavailable as error:
            raise StageFailed(PROVIDER_UNAVAILABLE, away="provider") from error
        if stored.key.number >= MOST_SUBMISSIONS:
            return await self.end(stored, PROVIDER_FAILED)
        return await self.submit(stored.key.number + 1)

    async def wait_on(self, stored: StoredSubmission) -> bool:
        """Leave the queue again; once the deadline has passed, end the job."""
        if stored.since_deadline >= 0:
            return await self.stop_waiting(stored, PROVIDER_TIMEOUT)
        return await self.leave(stored, next_poll(stored), has_answered=True)

    async def wait_out(self, stored: StoredSubmission, error: ProviderUnavailable) -> bool:
        """Wait for the end of an outage: for hours, and without a place in the queue."""
        if PROVIDERS.is_exhausted(PROVIDERS.waited(stored.outages + 1)):
            return await self.stop_waiting(stored, PROVIDER_UNAVAILABLE)
        asked = timedelta(seconds=error.retry_after or 0)
        pause = PROVIDERS.pause(stored.outages + 1, at_least=asked)
        return await self.leave(stored, pause, cause=error)
