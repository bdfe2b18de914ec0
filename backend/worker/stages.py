"""Run a stage: `fetch` here, every other stage in the renderer; and store its files."""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import ShopifyUnavailable, StorageUnavailable
from backend.failures.codes import SHOPIFY_UNAVAILABLE, STORAGE_UNAVAILABLE
from backend.failures.registry import Failed, Failure
from backend.jobs.lifecycle import JobLease, NewArtifact, wait_out
from backend.jobs.service import natural_key
from backend.renderers.base import Rendered, RenderedFile, RenderFailed, RenderRequest
from backend.shops.product_image import ProductImageRefused, ProductImageUnavailable
from backend.storage.keys import artifact_key
from backend.storage.objects import Leftover, ObjectMissing
from backend.worker.context import WorkerContext
from backend.worker.sources import SourceFailed, source_files
from backend.workflows import WORKFLOWS
from backend.workflows.stages import Stage, StageFile, StageName

log = structlog.get_logger(__name__)

RAW = "raw"  # the kind of an untrusted original
WAITS = {
    "storage": "Waiting for the image storage to respond",
    "shopify": "Waiting for Shopify to respond",
    "provider": "Waiting for the image provider",
}


class StageFailed(Failed):
    """The stage could not be made; `away` is who was away, if that was an outage."""

    def __init__(self, failure: Failure, *, away: str | None = None) -> None:
        super().__init__(failure)
        self.away = away


def keep_place() -> None:
    """For runs that take no place of a worker's capacity."""


class JobRun:
    """One run of a job: its claim, its finished stages, and their files in memory.

    `product_title` and `guessed_category` are known once this run has read the product.
    `free_place` lets another job begin.
    """

    def __init__(
        self,
        claimed: JobLease,
        context: WorkerContext,
        free_place: Callable[[], None] = keep_place,
    ) -> None:
        self.free_place = free_place
        self.ref, self.attempt, self.job_type = claimed.ref, claimed.attempt, claimed.job_type
        self.claimed = claimed
        self.context = context
        self.done = dict(claimed.done)
        self.at_hand: dict[str, bytes] = {}
        self.product_title: str | None = None
        self.guessed_category: str | None = None

    @property
    def keys(self) -> dict[str, str]:
        """The object's key of each file that the finished stages stored."""
        return {file: key for stage in self.done.values() for file, key in stage.files.items()}

    @property
    def names(self) -> set[str]:
        """The files there are so far."""
        return {*self.keys, *self.at_hand}

    async def file(self, name: str) -> bytes:
        """The bytes of a file that an earlier stage stored."""
        if name not in self.at_hand:
            self.at_hand[name] = await self.context.store.get(self.keys[name])
        return self.at_hand[name]

    async def put(self, stage: str, file: RenderedFile) -> str:
        """Store a file and keep it in memory; return its key.

        An object that an old attempt left under the key is left to the bucket sweep, which may be
        running now. No row may name it any more.
        """
        try:
            key = await self.stored(stage, file)
        except Leftover:
            key = await self.stored(stage, file, attempt=self.claimed.attempt)
        self.at_hand[file.name] = file.data
        return key

    async def stored(self, stage: str, file: RenderedFile, *, attempt: int | None = None) -> str:
        """Store the file under its own key and return that. Raises `Leftover`."""
        key = artifact_key(
            shop_id=self.claimed.ref.shop_id,
            job_id=self.claimed.ref.public_id,
            stage=stage,
            name=file.name,
            data=file.data,
            attempt=attempt,
        )
        await self.context.store.put(key, file.data, content_type=file.content_type)
        return key


async def make(stage: Stage, job_run: JobRun) -> Rendered:
    """Run the stage. Raises `StageFailed`."""
    with failures():
        if stage.name is StageName.FETCH:
            return await fetch_sources(job_run)
        return await rendered(stage, job_run)


async def store_files(
    stage: Stage, result: Rendered, job_run: JobRun
) -> tuple[dict[str, str], list[NewArtifact]]:
    """Store the stage's files; return their keys by name, and the artifacts for the event."""
    with failures():
        keys = await asyncio.gather(*(job_run.put(stage.name, file) for file in result.files))
    stored = list(zip(result.files, keys, strict=True))
    return (
        {file.name: key for file, key in stored},
        [new_artifact(file, key) for file, key in stored if file.kind != RAW],
    )


async def fetch_sources(job_run: JobRun) -> Rendered:
    """The job's input images, byte for byte."""
    files, facts = [], {}
    try:
        async for source in source_files(job_run.claimed, job_run.context):
            file = raw_file(source.name, source.data)
            files.append(file)
            category = {"category": source.category} if source.category else {}
            facts[file.name] = file.meta | category
            job_run.product_title = source.product_title or job_run.product_title
            job_run.guessed_category = source.category or job_run.guessed_category
    except SourceFailed as error:
        job_run.product_title = error.product_title or job_run.product_title
        raise
    return Rendered(files=files, facts=facts)


def raw_file(name: str, data: bytes) -> RenderedFile:
    """An untrusted original: kept for later stages, never shown."""
    return RenderedFile(
        name=name,
        kind=RAW,
        role="intermediate",
        label=None,
        content_type="application/octet-stream",
        data=data,
        meta={"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()},
    )


async def rendered(stage: Stage, job_run: JobRun) -> Rendered:
    """Render the stage from its inputs, the job's parameters and earlier facts."""
    claimed = job_run.claimed
    params = stage_params(job_run)
    names = stage.inputs_among(job_run.names)
    request = RenderRequest(
        stage=stage.name,
        inputs={name: await job_run.file(name) for name in names},
        job_type=claimed.job_type,
        job_id=claimed.ref.public_id,
        idempotency_token=idempotency_token(stage, job_run, params),
        params=params,
        facts={name: checkpoint.facts for name, checkpoint in job_run.done.items()},
    )
    return await job_run.context.renderer.render(request)


def stage_params(job_run: JobRun) -> dict[str, Any]:
    """The job's parameters, of the workflow's own struct.

    A category that the request does not name is the one that `fetch` guessed from the product.
    """
    request = job_run.claimed.request
    fields = WORKFLOWS[job_run.job_type].parameters.__struct_fields__
    params = {name: request[name] for name in fields if name in request}
    if "category" in fields and "category" not in params and StageName.FETCH in job_run.done:
        source = job_run.done[StageName.FETCH].facts.get(StageFile.SOURCE, {})
        params |= {name: source[name] for name in ("category",) if name in source}
    return params


def idempotency_token(stage: Stage, job_run: JobRun, params: dict[str, Any]) -> str:
    """64 hex digits, the same at each attempt at this stage with these parameters and inputs.

    An input is told by its object's key, which depends on its bytes and is in its stage's
    checkpoint.
    """
    ref = job_run.claimed.ref
    keys = job_run.keys
    inputs = {name: keys.get(name) for name in stage.inputs_among(job_run.names)}
    asked = {"params": params, "inputs": inputs}
    encoded = msgspec.json.encode(asked, order="deterministic").decode()
    return natural_key(str(ref.shop_id), ref.public_id, stage.name, encoded)


def new_artifact(file: RenderedFile, key: str) -> NewArtifact:
    """The artifact row for a stored file."""
    return NewArtifact(
        name=file.name,
        role=file.role,
        kind=file.kind,
        label=file.label,
        key=key,
        meta=file.meta,
    )


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Turn the errors of a stage into the job's failure."""
    try:
        yield
    except (ProductImageRefused, RenderFailed, SourceFailed) as error:
        raise StageFailed(error.failure) from error
    except (ProductImageUnavailable, ShopifyUnavailable) as error:
        raise StageFailed(SHOPIFY_UNAVAILABLE, away="shopify") from error
    except ObjectMissing as error:  # not an outage: the object may be lost for good
        raise StageFailed(STORAGE_UNAVAILABLE) from error
    except StorageUnavailable as error:
        log.warning("storage_unavailable", cause=repr(error.__cause__)[:300])
        raise StageFailed(STORAGE_UNAVAILABLE, away="storage") from error


async def wait_out_outage(connection: AsyncConnection, job_run: JobRun, error: StageFailed) -> int:
    """Have the timeline tell whom the job waits for; how many outages there were in a row."""
    assert error.away
    message = WAITS[error.away]
    return await wait_out(connection, job_run.claimed, message=message, waiting_for=error.away)
