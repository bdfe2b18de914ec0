"""A hosted provider in this process, with faults; jobs that need it; and what is stored of them.

It counts what it would charge for. The stand-in provider of `backend.dev` speaks real HTTP.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from backend.failures.images import IMAGE_CORRUPT
from backend.jobs.service import JobRef
from backend.leased_task import TaskOutcome
from backend.providers.provider import (
    AnswerLost,
    CallbackRefused,
    Finished,
    OutputImage,
    ProviderCost,
    ProviderJob,
    ProviderLimits,
    Running,
    SubmitRequest,
)
from backend.renderers.base import Rendered, RenderFailed, RenderRequest
from backend.renderers.files import file_of
from backend.worker.context import WorkerContext
from backend.worker.execute import run_job
from backend.worker.poller import Poller
from backend.workflows.stages import StageName
from tests.backend.worker.lost_objects import FakeFileRenderer
from tests.running_app import SHOP, RunningApp
from tests.scenarios import waiting_job

STAGE = StageName.COMPOSE  # of a catalog image: it has a stage before it and one after it
PICTURE, BROKEN = b"a picture", b"no picture"
COST = ProviderCost(units=1, unit="credit", amount_micros=75_000, source="answer")
SOURCE_KEY = "uploads/source-of-hosted-jobs"


class KilledHere(BaseException):
    """The process ends at this point."""


class FakeProvider:
    """Accepts every request and works until it is told the result.

    `faults` are raised by the next calls of `submit`: an `AnswerLost` or `KilledHere` after the
    request is accepted, anything else before. `requests` are the accepted ones, all charged for.
    """

    def __init__(
        self,
        *,
        name: str = "fake",
        concurrent: int = 10,
        per_minute: int | None = None,
        can_find: bool = False,
        is_synchronous: bool = False,
    ) -> None:
        self.name = name
        self.stages = frozenset({STAGE})
        self.models: Mapping[StageName, str] = dict.fromkeys(StageName, "fake-model-1")
        self.limits = ProviderLimits(concurrent=concurrent, per_minute=per_minute)
        self.key_fingerprint = "key-1"
        self.can_find = can_find
        self.is_synchronous = is_synchronous
        self.has_only_seeds = False  # to find a request by
        self.requests: list[SubmitRequest] = []
        self.sent_to: dict[str, str] = {}  # the model of each request
        self.faults: list[BaseException] = []
        self.answers: dict[str, Running | Finished | Exception] = {}
        self.cancelled: list[str] = []
        self.polls = 0

    async def submit(self, request: SubmitRequest) -> ProviderJob | Finished:
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None and not isinstance(fault, AnswerLost | KilledHere):
            raise fault
        self.requests.append(request)
        job_id = f"{self.name}-{len(self.requests)}"
        self.sent_to[job_id] = self.models[request.stage]
        self.answers.setdefault(job_id, Running())
        if fault is not None:
            raise fault
        return finished() if self.is_synchronous else ProviderJob(id=job_id, handles={"at": job_id})

    async def find(
        self, request: SubmitRequest, since: datetime, known: Collection[str] = ()
    ) -> ProviderJob | None:
        for number, each in enumerate(self.requests, start=1):
            job_id = f"{self.name}-{number}"
            is_it = (
                each.seed == request.seed
                if self.has_only_seeds
                else each.reference == request.reference
            )
            if is_it and job_id not in known and self.sent_to[job_id] == request.model:
                return ProviderJob(id=job_id)
        return None

    async def poll(self, job: ProviderJob) -> Running | Finished:
        self.polls += 1
        answer = self.answers[job.id]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def fetch(self, image: OutputImage) -> bytes:
        assert image.data is not None
        return image.data

    async def cancel(self, job: ProviderJob) -> bool:
        self.cancelled.append(job.id)
        return True

    async def callback(self, headers: Mapping[str, str], body: bytes) -> str:
        if headers.get("x-signature", "good") != "good":
            raise CallbackRefused("the signature is wrong")
        return str(msgspec.json.decode(body)["id"])

    async def close(self) -> None:
        pass


def finished(*pictures: bytes, cost: ProviderCost = COST) -> Finished:
    """The provider's result, by default one picture."""
    images = tuple(OutputImage(data=each) for each in pictures or (PICTURE,))
    return Finished(images=images, model="fake-model-1", seed=7, cost=cost)


class HostedRenderer(FakeFileRenderer):
    """The local stages, without pixels; a provider's picture is painted anew as `anew: …`."""

    async def render(self, request: RenderRequest) -> Rendered:
        if request.stage != StageName.NORMALISE_OUTPUT:
            return await super().render(request)
        data = request.inputs["source"]
        if data == BROKEN:
            raise RenderFailed(IMAGE_CORRUPT)
        upload = file_of(
            name="upload",
            kind="upload",
            role="intermediate",
            label=None,
            content_type="image/png",
            data=b"anew: " + data,
            meta={"width": 1, "height": 1},
        )
        return Rendered(files=[upload], facts={})


def hosted_app(running_app: RunningApp, provider: FakeProvider, **context: Any) -> RunningApp:
    """The app, whose worker has that provider."""
    changed = msgspec.structs.replace(
        running_app.worker_context,
        **{
            "renderer": HostedRenderer(),
            "providers": {STAGE: provider},
            "deadlines": dict.fromkeys(StageName, timedelta(minutes=10)),
            **context,
        },
    )
    return RunningApp(**{**vars(running_app), "worker_context": changed})


async def hosted_job(running_app: RunningApp, *, shop: str = SHOP) -> JobRef:
    """A job of that stage, which no worker has claimed."""
    await running_app.install(shop)
    store = running_app.worker_context.store
    await store.put(SOURCE_KEY, b"\xff\xd8 a photo", content_type="image/jpeg")
    return await waiting_job(running_app, shop=shop, request={"upload_key": SOURCE_KEY})


async def submitted_job(app: RunningApp) -> JobRef:
    """Such a job, whose request the provider has accepted."""
    ref = await hosted_job(app)
    await run_once(app, ref)
    return ref


async def run_once(app: RunningApp, ref: JobRef) -> TaskOutcome:
    """A worker takes the job as far as it goes, and its queue entry ends."""
    outcome = await run_job(ref, app.worker_context)
    await app.execute("DELETE FROM queue.pgqueuer")
    return outcome


async def submissions(app: RunningApp, ref: JobRef) -> list[dict[str, Any]]:
    """The job's submissions, in order."""
    return await app.rows(
        "SELECT * FROM submissions WHERE job_id = :j ORDER BY number", j=ref.public_id
    )


async def statuses(app: RunningApp, ref: JobRef) -> list[str]:
    """Of the job's submissions, in order."""
    return [row["status"] for row in await submissions(app, ref)]


async def status_of(app: RunningApp, ref: JobRef) -> str:
    """Of the job."""
    return str(
        (await app.rows("SELECT status FROM jobs WHERE public_id = :j", j=ref.public_id))[0][
            "status"
        ]
    )


async def queued(app: RunningApp) -> list[str]:
    """The jobs on the queue."""
    rows = await app.rows(
        "SELECT convert_from(payload, 'UTF8')::jsonb->>'public_id' AS id "
        "FROM queue.pgqueuer ORDER BY id"
    )
    return [row["id"] for row in rows]


async def pass_time(app: RunningApp, ref: JobRef, **interval: int) -> None:
    """Move the times of the job's submissions into the past; it is due for the poller."""
    unit, amount = next(iter(interval.items()))
    moved = ", ".join(
        f"{name} = {name} - make_interval({unit} => :n)"
        for name in ("created_at", "intended_at", "submitted_at", "deadline_at")
    )
    await app.execute(
        f"UPDATE submissions SET {moved}, wake_at = now() - interval '1 second' "
        "WHERE job_id = :j AND status <> 'WAITING'",
        n=amount,
        j=ref.public_id,
    )


def poller_of(app: RunningApp) -> Poller:
    """The poller of a worker process."""
    context: WorkerContext = app.worker_context
    return Poller(context.database, context.providers)


async def wake(app: RunningApp, ref: JobRef) -> None:
    """The poller looks at the job's submission, which is due now."""
    await pass_time(app, ref, secs=0)
    await poller_of(app).look()
