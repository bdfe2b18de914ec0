"""What a hosted provider is asked for a stage of a job, and what becomes of the pictures."""

import hashlib
from datetime import datetime

import msgspec
import structlog

from backend.failures.codes import PROVIDER_OUTPUT_INVALID
from backend.failures.registry import Failure
from backend.providers.provider import (
    Finished,
    InputImage,
    Provider,
    ProviderFailed,
    ProviderUnavailable,
    SubmitRequest,
)
from backend.renderers.base import (
    NativeCrash,
    Rendered,
    RenderedFile,
    RenderFailed,
    RenderRequest,
)
from backend.submissions.callback_tokens import CallbackToken
from backend.submissions.records import StoredSubmission, SubmissionKey
from backend.worker.stages import JobRun, StageFailed, failures, stage_params
from backend.workflows.stages import Stage, StageFile, StageName

log = structlog.get_logger(__name__)

# Our own files begin with one of these.
FILE_STARTS = ((b"\xff\xd8", "image/jpeg"), (b"\x89PNG", "image/png"), (b"RIFF", "image/webp"))
INGEST = StageName.NORMALISE_OUTPUT  # paints an untrusted picture anew, in a child process


async def submit_request(
    stage: Stage, job_run: JobRun, key: SubmissionKey, provider: Provider
) -> SubmitRequest:
    """The request, with the stage's inputs. Raises `StageFailed` while they cannot be read."""
    params = stage_params(job_run)
    names = stage.inputs_among(job_run.names)
    with failures():
        inputs = {str(name): await input_image(name, job_run) for name in names}
    return SubmitRequest(
        stage=stage.name,
        inputs=inputs,
        params=params,
        reference=key.reference,
        seed=submission_seed(job_run, key),
        callback_url=callback_url(job_run, key, provider),
    )


def input_digests(request: SubmitRequest) -> dict[str, str]:
    """The SHA-256 of each picture that is sent."""
    return {name: hashlib.sha256(each.data).hexdigest() for name, each in request.inputs.items()}


def submission_seed(job_run: JobRun, key: SubmissionKey) -> int:
    """The seed that the job's request names, or one that belongs to this submission."""
    named = job_run.claimed.request.get("seed")
    return named if isinstance(named, int) else key.seed


def callback_url(job_run: JobRun, key: SubmissionKey, provider: Provider) -> str | None:
    """Where the provider may report, if this installation has a public address."""
    callbacks = job_run.context.callbacks
    if callbacks is None:
        return None
    shop = job_run.claimed.shop_domain
    fields = msgspec.structs.asdict(key)
    return callbacks.url(CallbackToken(shop=shop, provider=provider.name, **fields))


async def input_image(name: StageFile, job_run: JobRun) -> InputImage:
    """A file of an earlier stage."""
    data = await job_run.file(name)
    content_type = next(
        (each for start, each in FILE_STARTS if data.startswith(start)), "application/octet-stream"
    )
    presigner = job_run.context.presigner
    url = await presigner.sign_for_provider(job_run.keys[name], content_type) if presigner else ""
    return InputImage(data=data, content_type=content_type, url=url)


async def usable_picture(
    stage: Stage, job_run: JobRun, provider: Provider, stored: StoredSubmission, finished: Finished
) -> Rendered:
    """The first usable picture of the result, painted anew: the stage's first output.

    Raises `ProviderUnavailable` if pictures cannot be fetched now, `StageFailed` if our own
    renderer failed, and `ProviderFailed` if no picture is usable.
    """
    away: ProviderUnavailable | None = None
    refused = PROVIDER_OUTPUT_INVALID
    for image in finished.images:
        try:
            painted = await painted_anew(await provider.fetch(image), job_run)
        except ProviderUnavailable as error:
            away = error
        except ProviderFailed as error:
            refused = error.failure
        except RenderFailed as error:
            refused = output_invalid(error)
        else:
            return made_by_provider(stage, provider, stored, finished, painted)
        log.warning("provider_output_unusable", code=refused.code, provider=provider.name)
    if away is not None:
        raise away
    raise ProviderFailed(refused, cost=finished.cost)


async def painted_anew(data: bytes, job_run: JobRun) -> RenderedFile:
    """An untrusted picture as ours. Raises `RenderFailed`."""
    request = RenderRequest(
        stage=INGEST,
        inputs={StageFile.SOURCE: data},
        job_type=job_run.job_type,
        job_id=job_run.ref.public_id,
    )
    return (await job_run.context.renderer.render(request)).files[0]


def output_invalid(error: RenderFailed) -> Failure:
    """Why a picture was refused, as a failure of the provider and not of the merchant's photo.

    Raises `StageFailed` if our own renderer failed: the picture may be fine.
    """
    failure = error.failure
    if failure.code == PROVIDER_OUTPUT_INVALID.code:
        return failure
    if failure.retryable and not isinstance(error, NativeCrash):
        raise StageFailed(failure) from error
    return PROVIDER_OUTPUT_INVALID


def made_by_provider(
    stage: Stage,
    provider: Provider,
    stored: StoredSubmission,
    finished: Finished,
    painted: RenderedFile,
) -> Rendered:
    """The stage's file and facts: which pixels a model invented, which one, and for how much."""
    name = stage.outputs[0]
    seed = stored.seed if finished.seed is None else finished.seed
    provenance = {
        "generative": True,
        "provider": provider.name,
        "model": finished.model,
        "seed": seed,
    }
    file = msgspec.structs.replace(
        painted, name=name, kind=name, role="intermediate", meta={**painted.meta, **provenance}
    )
    cost = finished.cost
    facts = {
        **provenance,
        "cost": None if cost.source == "unknown" else msgspec.to_builtins(cost),
        "provider_job_id": stored.provider_job_id,
        "inputs": stored.inputs,
    }
    return Rendered(files=[file], facts=facts)


def find_request(stored: StoredSubmission) -> SubmitRequest:
    """What a lost request is found by, without the inputs of a job that may be erased."""
    return SubmitRequest(
        stage=StageName(stored.key.stage),
        inputs={},
        params={},
        reference=stored.key.reference,
        seed=stored.seed,
        model=stored.model or "",
    )


def sent_since(stored: StoredSubmission) -> datetime:
    """When the request was sent at the earliest."""
    assert stored.intended_at is not None
    return stored.intended_at
