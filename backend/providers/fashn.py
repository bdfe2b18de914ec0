"""FASHN, directly: models for fashion behind one endpoint, polled, with callbacks.

Read for this on 2026-11-29: docs.fashn.ai (API fundamentals, error handling, webhooks, credits, and
the pages of the models) and the types of FASHN's Python SDK 0.9.0. Nothing there finds a request
again whose answer was lost, and nothing cancels one. Callbacks are not signed, so that only the
URL's own token says who calls.

A picture costs 1 credit with most models, and 4 with `tryon-max` or with a face to keep; the status
says how many in `x-fashn-credits-used`. Pictures lie on FASHN's CDN for 72 hours.
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
    require_usable,
)
from backend.providers.fashn_models import FASHN_MODELS
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

MAX_SEED = 2**32
CREDITS_HEADER = "x-fashn-credits-used"
STILL_RUNNING = frozenset({"starting", "in_queue", "processing"})
FAILURE_OF_ERROR: dict[str, Failure] = {
    "ContentModerationError": CONTENT_REFUSED,
    "PoseError": POSE_NOT_FOUND,
    "PollingTimeout": PROVIDER_TIMEOUT,
}
# Here the message says what is wrong with the input. A third party's error is, by FASHN's word,
# most likely about the picture's content.
INPUT_ERRORS = frozenset({"ImageLoadError", "InputValidationError", "ThirdPartyError"})


class FashnAccepted(msgspec.Struct):
    """The answer to a submission."""

    id: str


class FashnRefusal(msgspec.Struct):
    """An answer to a request that was not accepted."""

    error: str = ""
    message: str = ""


class PredictionError(msgspec.Struct):
    """Why a prediction failed."""

    name: str = ""
    message: str = ""


class Prediction(msgspec.Struct):
    """The answer to a question, and the body of a callback."""

    id: str
    status: str = ""
    output: list[str] | None = None
    error: PredictionError | str | None = None


class FashnProvider:
    """The adapter. `transport` stands in for the network in tests."""

    name = "fashn"
    can_find = False

    def __init__(
        self, account: ProviderAccount, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.account = account
        self.models: Mapping[StageName, str] = account.models
        self.key_fingerprint = account.fingerprint
        self.stages = frozenset(account.models)
        self.limits = account.limits
        key = {"Authorization": f"Bearer {account.key}"}
        self.http = ProviderHttp(account.base_url, key, transport)
        self.outputs = OutputFetcher(self.http.origin, transport)

    async def submit(self, request: SubmitRequest) -> ProviderJob | Finished:
        """See `Provider`."""
        model = self.account.models[request.stage]
        inputs = FASHN_MODELS[model].inputs(request, self.account.send)
        inputs |= {"seed": request.seed % MAX_SEED}
        answer = await self.http.submit(
            "/run",
            {"model_name": model, "inputs": inputs},
            query={"webhook_url": request.callback_url} if request.callback_url else None,
        )
        require_accepted(answer)
        accepted = answer.read(FashnAccepted)
        if accepted is None or not accepted.id:
            raise AnswerLost("FASHN accepted a request without an id")
        handles = {"model": model, "stage": request.stage.value, "seed": str(inputs["seed"])}
        return ProviderJob(id=accepted.id, handles=handles | accepted_now())

    async def find(
        self, request: SubmitRequest, since: datetime, known: Collection[str] = ()
    ) -> ProviderJob | None:
        """FASHN lists no requests."""
        return None

    async def poll(self, job: ProviderJob) -> Running | Finished:
        """See `Provider`."""
        url = f"{self.http.base_url}/status/{quote(job.id, safe='')}"
        answer = await self.http.ask("GET", url, may_refuse=True)
        if answer.status == 404 and not may_be_unknown_yet(job):
            raise RequestUnknown(PROVIDER_FAILED, provider_code="NotFound")
        prediction = answer.read(Prediction)
        if not answer.is_ok or prediction is None:
            raise ProviderUnavailable(f"FASHN answered HTTP {answer.status} without a status")
        cost = self._cost(job, answer)
        if prediction.status == "completed":
            return finished(job, prediction, cost)
        if prediction.status in STILL_RUNNING or not prediction.status:
            return Running()
        raise prediction_failed(prediction, cost)

    async def fetch(self, image: OutputImage) -> bytes:
        """See `Provider`."""
        return await self.outputs.fetch(image)

    async def cancel(self, job: ProviderJob) -> bool:
        """FASHN finishes, and charges, what it has accepted."""
        return False

    async def callback(self, headers: Mapping[str, str], body: bytes) -> str:
        """The body is that of a status; nothing is signed."""
        try:
            return msgspec.json.decode(body, type=Prediction).id
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CallbackRefused("not a prediction") from error

    async def close(self) -> None:
        """Close the connections."""
        await self.http.close()
        await self.outputs.close()

    def _cost(self, job: ProviderJob, answer: ProviderAnswer) -> ProviderCost:
        units = units_in(answer.headers.get(CREDITS_HEADER))
        any_stage = next(iter(self.account.models))  # a credit has one price
        return self.account.cost(job.handles.get("stage", any_stage), units, "credits")


def require_accepted(answer: ProviderAnswer) -> None:
    """Raise for an answer that says why the request was not accepted."""
    if answer.is_ok:
        return
    refusal = answer.read(FashnRefusal) or FashnRefusal()
    if refusal.error == "OutOfCredits":
        raise ProviderUnavailable("FASHN has no credits left", retry_after=ACCOUNT_RETRY)
    require_usable(answer)
    raise input_refused(refusal.message, refusal.error or str(answer.status))


def finished(job: ProviderJob, prediction: Prediction, cost: ProviderCost) -> Finished:
    """The result. Raises `ProviderFailed` if there is no picture in it."""
    images = tuple(OutputImage(url=each) for each in prediction.output or ())
    if not images:
        raise ProviderFailed(PROVIDER_OUTPUT_INVALID, cost=cost, provider_code="no_output")
    seed = job.handles.get("seed")
    return Finished(
        images=images,
        model=job.handles.get("model", "unknown"),
        seed=int(seed) if seed else None,
        cost=cost,
    )


def prediction_failed(prediction: Prediction, cost: ProviderCost) -> ProviderFailed:
    """What a merchant reads of a prediction that failed, was cancelled or took too long."""
    error = prediction.error
    if isinstance(error, str):
        error = PredictionError(name=error)
    name = error.name if error else prediction.status
    if name in INPUT_ERRORS and error:
        return input_refused(error.message, name, cost)
    failure = (
        PROVIDER_TIMEOUT if name == "time_out" else FAILURE_OF_ERROR.get(name, PROVIDER_FAILED)
    )
    return ProviderFailed(failure, cost=cost, provider_code=name[:100])


def fashn_stage_models() -> dict[StageName, frozenset[str]]:
    """The models there are for each stage."""
    stages = {stage for model in FASHN_MODELS.values() for stage in model.stages}
    return {
        stage: frozenset(name for name, model in FASHN_MODELS.items() if stage in model.stages)
        for stage in stages
    }
