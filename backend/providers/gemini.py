"""Google's Gemini: image models that take pictures and words, and answer with the picture at once.

Read for this on 2026-11-29: ai.google.dev (models, generateContent, errors, billing) and the
generated enums of Google's SDKs. The request is answered within a minute or so, so there is nothing
to poll, to cancel or to find again. `generateContent` is the older of two APIs there, and is served
for all image models that are named stable: `gemini-3.1-flash-image`, `gemini-3-pro-image`.

An answer counts no money. A picture of about a megapixel is 1,120 tokens of output, and its price
is the operator's setting. Pictures carry Google's invisible SynthID mark. With a key of the paid
tier, Google does not train on what is sent.
"""

import re
from base64 import b64encode
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import httpx
import msgspec

from backend.failures.codes import (
    CONTENT_REFUSED,
    PROVIDER_FAILED,
    PROVIDER_MISCONFIGURED,
    PROVIDER_OUTPUT_INVALID,
)
from backend.providers.account import ProviderAccount, input_refused
from backend.providers.client import ProviderAnswer, ProviderHttp, require_usable, seconds_to_wait
from backend.providers.inputs import aspect_ratio_in, pictures_in_order
from backend.providers.outputs import OutputFetcher, decoded_base64
from backend.providers.provider import (
    AnswerLost,
    CallbackRefused,
    Finished,
    OutputImage,
    ProviderFailed,
    ProviderJob,
    ProviderUnavailable,
    RequestUnknown,
    Running,
    SubmitRequest,
)
from backend.workflows.prompts import prompt_of
from backend.workflows.stages import StageName

DEFAULT_MODEL = "gemini-3.1-flash-image"
GEMINI_DEFAULTS: dict[StageName, str] = dict.fromkeys(
    (
        StageName.DRESS,
        StageName.TRY_ON,
        StageName.SWAP_MODEL,
        StageName.EXTRACT,
        StageName.LOOK,
        StageName.GENERATE_MODEL,
        StageName.GENERATE_BACKGROUND,
        StageName.GENERATE_GARMENT,
        StageName.CHANGE_BACKGROUND,
    ),
    DEFAULT_MODEL,
)
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*", re.ASCII)
ANSWER_SECONDS = 110.0
MAX_PICTURE_ANSWER = 40_000_000  # bytes: 25 MB in base64, and some words
OVERLOADED = 503
REFUSALS = frozenset(
    {
        *("SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION"),
        *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
    }
)
KEY_REASONS = frozenset({"API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "SERVICE_DISABLED"})


class InlineData(msgspec.Struct, rename="camel"):
    """A picture in base64."""

    data: str
    mime_type: str = ""


class ContentPart(msgspec.Struct, rename="camel"):
    """Words or a picture; a model that thinks also shows drafts."""

    inline_data: InlineData | None = None
    thought: bool = False


class CandidateContent(msgspec.Struct):
    """What the model says."""

    parts: list[ContentPart] = []


class Candidate(msgspec.Struct, rename="camel"):
    """A result, and why it ended."""

    content: CandidateContent | None = None
    finish_reason: str = ""


class PromptFeedback(msgspec.Struct, rename="camel"):
    """Why a prompt was not taken."""

    block_reason: str = ""


class GeneratedContent(msgspec.Struct, rename="camel"):
    """The answer."""

    candidates: list[Candidate] = []
    prompt_feedback: PromptFeedback | None = None
    model_version: str = ""


class ErrorDetail(msgspec.Struct, rename="camel"):
    """More on an error: a reason, or how long to wait, such as `27s`."""

    reason: str = ""
    retry_delay: str = ""


class GoogleStatus(msgspec.Struct):
    """An error in Google's words."""

    message: str = ""
    status: str = ""
    details: list[ErrorDetail] = []


class GoogleError(msgspec.Struct):
    """The body of an error."""

    error: GoogleStatus


class GeminiProvider:
    """The adapter. `transport` stands in for the network in tests."""

    name = "gemini"
    can_find = False

    def __init__(
        self, account: ProviderAccount, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.account = account
        self.models: Mapping[StageName, str] = account.models
        self.key_fingerprint = account.fingerprint
        self.stages = frozenset(account.models)
        self.limits = account.limits
        self.http = ProviderHttp(
            account.base_url,
            {"x-goog-api-key": account.key},
            transport,
            read_seconds=ANSWER_SECONDS,
            max_answer_bytes=MAX_PICTURE_ANSWER,
        )
        self.outputs = OutputFetcher(self.http.origin, transport)

    async def submit(self, request: SubmitRequest) -> ProviderJob | Finished:
        """See `Provider`: the answer is the result."""
        model = self.account.models[request.stage]
        answer = await self.http.submit(
            f"/models/{model}:generateContent",
            content_request(request),
            also=frozenset({OVERLOADED}),
        )
        require_generated(answer)
        content = answer.read(GeneratedContent)
        if content is None:
            raise AnswerLost("Gemini's answer cannot be read")
        return Finished(
            images=(OutputImage(data=picture_in(content)),),
            model=content.model_version or model,
            seed=request.seed,
            cost=self.account.cost(request.stage, 1.0, "images", is_counted=False),
        )

    async def find(
        self, request: SubmitRequest, since: datetime, known: Collection[str] = ()
    ) -> ProviderJob | None:
        """Gemini keeps no list."""
        return None

    async def poll(self, job: ProviderJob) -> Running | Finished:
        """There is never a job to ask about."""
        raise RequestUnknown(PROVIDER_FAILED, provider_code="no_jobs")

    async def fetch(self, image: OutputImage) -> bytes:
        """See `Provider`."""
        return await self.outputs.fetch(image)

    async def cancel(self, job: ProviderJob) -> bool:
        """Nothing runs on."""
        return False

    async def callback(self, headers: Mapping[str, str], body: bytes) -> str:
        """Gemini sends none."""
        raise CallbackRefused("Gemini sends no callbacks")

    async def close(self) -> None:
        """Close the connections."""
        await self.http.close()
        await self.outputs.close()


def content_request(request: SubmitRequest) -> dict[str, Any]:
    """The body: the words, then the pictures as the words count them."""
    prompt = prompt_of(request.stage, request.params, request.inputs)
    pictures = [
        {"inlineData": {"mimeType": each.content_type, "data": b64encode(each.data).decode()}}
        for each in pictures_in_order(request)
    ]
    config: dict[str, Any] = {"responseModalities": ["IMAGE"], "seed": request.seed}
    if ratio := aspect_ratio_in(request):
        config["imageConfig"] = {"aspectRatio": ratio}
    return {
        "contents": [{"role": "user", "parts": [{"text": prompt}, *pictures]}],
        "generationConfig": config,
    }


def picture_in(content: GeneratedContent) -> bytes:
    """The picture. Raises `ProviderFailed` if the model has refused or made none."""
    feedback = content.prompt_feedback
    if feedback and feedback.block_reason:
        raise ProviderFailed(CONTENT_REFUSED, provider_code=feedback.block_reason[:100])
    candidate = content.candidates[0] if content.candidates else Candidate()
    parts = candidate.content.parts if candidate.content else []
    for part in reversed(parts):
        if part.inline_data and not part.thought:
            return decoded_base64(part.inline_data.data)
    reason = candidate.finish_reason or "no_candidates"
    failure = CONTENT_REFUSED if reason in REFUSALS else PROVIDER_OUTPUT_INVALID
    raise ProviderFailed(failure, provider_code=reason[:100])


def require_generated(answer: ProviderAnswer) -> None:
    """Raise for an answer that says why nothing was made."""
    if answer.is_ok:
        return
    read = answer.read(GoogleError)
    error = read.error if read else GoogleStatus()
    if answer.status == OVERLOADED:
        if error.status == "UNAVAILABLE":
            raise ProviderUnavailable("Gemini is overloaded", retry_after=seconds_to_wait(answer))
        raise AnswerLost("HTTP 503 that is not Gemini's")
    if answer.status == 429:
        delays = [delay for each in error.details if (delay := seconds_in(each.retry_delay))]
        wait = max(delays, default=None) or seconds_to_wait(answer)
        raise ProviderUnavailable("Gemini's limits are reached", retry_after=wait)
    reasons = {each.reason for each in error.details}
    if error.status == "FAILED_PRECONDITION" or reasons & KEY_REASONS:
        raise ProviderFailed(PROVIDER_MISCONFIGURED, provider_code=error.status[:100])
    require_usable(answer)
    raise input_refused(error.message, error.status or str(answer.status))


def seconds_in(delay: str) -> float | None:
    """The seconds of a protobuf duration such as `27s`; at most an hour."""
    if not re.fullmatch(r"\d{1,6}(\.\d{1,9})?s", delay, re.ASCII):
        return None
    return min(float(delay[:-1]), 3600.0)


def is_model_name(name: str) -> bool:
    """Whether it can be a model's name."""
    return MODEL_NAME.fullmatch(name) is not None
