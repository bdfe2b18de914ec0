"""The queue of fal: any of its endpoints that takes pictures, a prompt or both.

Read for this on 2026-11-29: fal's pages on the inference API, the queue (and its OpenAPI document),
webhooks, errors, payloads, concurrency and pricing, and `GET /models/requests/by-endpoint` of the
platform API. fal keeps the payloads of requests for 30 days, which is how a lost one is found; the
pictures in them are URLs that end after an hour, and outputs are asked to be deleted after one.

The result says what was billed in `x-fal-billable-units`; what a unit costs is the endpoint's.
Server errors are not billed, but an input that is refused may be.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from urllib.parse import quote

import httpx
import msgspec

from backend.failures.codes import (
    CONTENT_REFUSED,
    POSE_NOT_FOUND,
    PROVIDER_FAILED,
    PROVIDER_OUTPUT_INVALID,
    PROVIDER_TIMEOUT,
)
from backend.failures.registry import Failure
from backend.providers.account import (
    ProviderAccount,
    accepted_now,
    input_refused,
    may_be_unknown_yet,
    units_in,
)
from backend.providers.client import (
    ACCOUNT_RETRY,
    ProviderAnswer,
    ProviderHttp,
    origin_of,
    require_usable,
)
from backend.providers.fal_answers import (
    FalAccepted,
    FalCallback,
    FalError,
    FalResult,
    FalStatus,
)
from backend.providers.fal_models import app_of, fal_inputs
from backend.providers.fal_requests import START_WITHIN, find_request_id
from backend.providers.fal_signature import FalSignatures
from backend.providers.outputs import OutputFetcher
from backend.providers.provider import (
    AnswerLost,
    CallbackRefused,
    Finished,
    OutputImage,
    ProviderCost,
    ProviderFailed,
    ProviderJob,
    ProviderUnavailable,
    RequestUnknown,
    Running,
    SubmitRequest,
)
from backend.workflows.stages import StageName

MAX_LIST_BYTES = 20_000_000
OUTPUTS_LIVE = '{"expiration_duration_seconds": 3600}'
UNITS_HEADER = "x-fal-billable-units"
FAILURE_OF_TYPE: dict[str, Failure] = {
    "content_policy_violation": CONTENT_REFUSED,
    "face_detection_error": POSE_NOT_FOUND,
    "body_pose_not_detected": POSE_NOT_FOUND,
    "no_media_generated": PROVIDER_FAILED,
    "generation_timeout": PROVIDER_TIMEOUT,
    "request_timeout": PROVIDER_TIMEOUT,
    "startup_timeout": PROVIDER_TIMEOUT,
}


class FalProvider:
    """The adapter. `transport` stands in for the network in tests."""

    name = "fal"
    can_find = True

    def __init__(
        self,
        account: ProviderAccount,
        *,
        platform_url: str,
        jwks_url: str,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.account = account
        self.models: Mapping[StageName, str] = account.models
        self.key_fingerprint = account.fingerprint
        self.stages = frozenset(account.models)
        self.limits = account.limits
        key = {"Authorization": f"Key {account.key}"}
        self.http = ProviderHttp(account.base_url, key, transport)
        self.platform = ProviderHttp(platform_url, key, transport, max_answer_bytes=MAX_LIST_BYTES)
        self.signatures = FalSignatures(jwks_url, transport)
        self.outputs = OutputFetcher(self.http.origin, transport)

    async def submit(self, request: SubmitRequest) -> ProviderJob | Finished:
        """See `Provider`."""
        endpoint = self.account.models[request.stage]
        answer = await self.http.submit(
            f"/{endpoint}",
            fal_inputs(request, self.account),
            query={"fal_webhook": request.callback_url} if request.callback_url else None,
            x_fal_object_lifecycle_preference=OUTPUTS_LIVE,
            x_fal_request_timeout=f"{START_WITHIN.total_seconds():.0f}",
        )
        require_queued(answer)
        accepted = answer.read(FalAccepted)
        if accepted is None or not accepted.request_id:
            raise AnswerLost("fal accepted a request without an id")
        return self._job(request, accepted, endpoint)

    async def find(
        self, request: SubmitRequest, since: datetime, known: Collection[str] = ()
    ) -> ProviderJob | None:
        """See `Provider`, and `backend.providers.fal_requests`."""
        found = await find_request_id(self.platform, request, since, known)
        if found is None:
            return None
        return self._job(request, FalAccepted(request_id=found), request.model)

    async def poll(self, job: ProviderJob) -> Running | Finished:
        """See `Provider`. fal's addresses are not known by the id alone, such as a callback's."""
        if "status_url" not in job.handles:
            raise RequestUnknown(PROVIDER_FAILED, provider_code="no_handles")
        answer = await self.http.ask("GET", job.handles["status_url"], may_refuse=True)
        if answer.status == 404 and not may_be_unknown_yet(job):
            raise RequestUnknown(PROVIDER_FAILED, provider_code="not_found")
        status = answer.read(FalStatus)
        if not answer.is_ok or status is None:
            raise ProviderUnavailable(f"fal answered HTTP {answer.status} without a status")
        if status.status != "COMPLETED":
            return Running(position=status.queue_position)
        return await self._result(job, status)

    async def fetch(self, image: OutputImage) -> bytes:
        """See `Provider`."""
        return await self.outputs.fetch(image)

    async def cancel(self, job: ProviderJob) -> bool:
        """True if fal will stop; a request that already runs may still be finished, and billed."""
        answer = await self.http.ask("PUT", job.handles["cancel_url"], may_refuse=True)
        if answer.status >= 500:
            raise ProviderUnavailable(f"fal answered HTTP {answer.status}")
        return answer.is_ok

    async def callback(self, headers: Mapping[str, str], body: bytes) -> str:
        """See `Provider`."""
        signed = await self.signatures.verify(headers, body)
        try:
            named = msgspec.json.decode(body, type=FalCallback).request_id
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CallbackRefused("not a result") from error
        if named != signed:
            raise CallbackRefused("its body is about another request than its headers")
        return named

    async def close(self) -> None:
        """Close the connections."""
        for each in (self.http, self.platform, self.signatures, self.outputs):
            await each.close()

    async def _result(self, job: ProviderJob, status: FalStatus) -> Finished:
        answer = await self.http.ask("GET", job.handles["response_url"], may_refuse=True)
        cost = self._cost(job, answer)
        if not answer.is_ok:
            error = answer.read(FalError)
            has_failed = error is not None and isinstance(error.detail, list)
            if status.error is None and status.error_type is None and not has_failed:
                raise ProviderUnavailable(f"fal answered HTTP {answer.status} for a result")
            error = error or FalError(str(status.error or ""), status.error_type or "")
            raise request_failed(error, answer.status, cost)
        result = answer.read(FalResult)
        images = [*result.images, *([result.image] if result.image else [])] if result else []
        if result is None or not images:
            raise ProviderFailed(PROVIDER_OUTPUT_INVALID, cost=cost, provider_code="no_images")
        seed = result.seed if isinstance(result.seed, int) else int(job.handles["seed"])
        return Finished(
            images=tuple(OutputImage(url=each.url) for each in images),
            model=job.handles["endpoint"],
            seed=seed,
            cost=cost,
        )

    def _job(self, request: SubmitRequest, accepted: FalAccepted, endpoint: str) -> ProviderJob:
        """What to ask about it with. A URL of another host is not followed, and built instead."""
        request_id = quote(accepted.request_id, safe="")
        built = f"{self.http.base_url}/{app_of(endpoint)}/requests/{request_id}"
        urls = {
            "status_url": accepted.status_url or f"{built}/status",
            "response_url": accepted.response_url or built,
            "cancel_url": accepted.cancel_url or f"{built}/cancel",
        }
        if any(origin_of(url) != self.http.origin for url in urls.values()):
            urls = {
                "status_url": f"{built}/status",
                "response_url": built,
                "cancel_url": f"{built}/cancel",
            }
        handles = {"endpoint": endpoint, "stage": request.stage.value, "seed": str(request.seed)}
        return ProviderJob(id=accepted.request_id, handles=handles | urls | accepted_now())

    def _cost(self, job: ProviderJob, answer: ProviderAnswer) -> ProviderCost:
        units = units_in(answer.headers.get(UNITS_HEADER))
        return self.account.cost(job.handles["stage"], units, "billable units")


def require_queued(answer: ProviderAnswer) -> None:
    """Raise for an answer that says why the request was not queued."""
    if answer.is_ok:
        return
    error = answer.read(FalError) or FalError("")
    # An empty account is locked: fal says so in words.
    if answer.status == 403 and "locked" in error.message.lower():
        raise ProviderUnavailable("fal has locked the account", retry_after=ACCOUNT_RETRY)
    require_usable(answer)
    raise request_failed(error, answer.status, ProviderCost())


def request_failed(error: FalError, status: int, cost: ProviderCost) -> ProviderFailed:
    """What a merchant reads of a request that failed."""
    code = error.type or str(status)
    if failure := FAILURE_OF_TYPE.get(error.type):
        return ProviderFailed(failure, cost=cost, provider_code=code[:100])
    if status in {400, 413, 422}:
        return input_refused(error.message, code, cost)
    return ProviderFailed(PROVIDER_FAILED, cost=cost, provider_code=code[:100])
