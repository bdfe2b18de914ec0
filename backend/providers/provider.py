"""What a hosted provider is asked, what it answers, and how it fails.

A provider takes a stage of a job, works on it for seconds or minutes, and is paid by the call. An
adapter is a module beside this one that speaks one provider's HTTP: a `Provider`. It keeps nothing.
What was asked for and what came of it is stored by `backend.submissions`, which asks again as often
as it must; so every method may be called by another process than the one that submitted.

| method   | answers                                      | raises                               |
|----------|----------------------------------------------|--------------------------------------|
| submit   | the provider's job; or its result at once    | all four errors below                |
| find     | the provider's job for a lost answer, or None| `ProviderUnavailable`                |
| poll     | still running, or finished                   | `ProviderFailed`, `…Unavailable`     |
| fetch    | the bytes of an output                       | `ProviderFailed`, `…Unavailable`     |
| cancel   | whether the provider will stop               | `ProviderUnavailable`                |
| callback | the id of the provider's job it is about     | `CallbackRefused`, `…Unavailable`    |
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from backend.failures.registry import Failed, Failure
from backend.workflows.stages import StageName


class InputImage(msgspec.Struct, frozen=True, kw_only=True):
    """A picture for the provider: its bytes, and a presigned URL that lives for an hour.

    An adapter sends one of the two. The bytes are ours: painted anew, without the photo's metadata.
    """

    data: bytes
    content_type: str
    url: str


class SubmitRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of one job, for a provider.

    `inputs` are named as the stage's files. `params` are the job's own (`Workflow.parameters`).
    `reference` is the same for each attempt at this submission and no other: an adapter passes it
    on where the provider can find a request by it. `callback_url` is None where this installation
    has no public address. `model` is the one that a lost request was sent to, which `find` needs:
    another one may be set by then.
    """

    stage: StageName
    inputs: dict[str, InputImage]
    params: dict[str, Any]
    reference: str
    seed: int
    callback_url: str | None = None
    model: str = ""


class ProviderJob(msgspec.Struct, frozen=True, kw_only=True):
    """A request that the provider has accepted: its id there, and what else `poll` needs of it."""

    id: str
    handles: dict[str, str] = {}


class ProviderCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a request has cost, in the provider's units; `amount_micros` in millionths of USD.

    `source`: the provider's answer, its price list as set here, or unknown.
    """

    units: float | None = None
    unit: str = ""
    amount_micros: int | None = None
    source: Literal["answer", "price_list", "unknown"] = "unknown"


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """Not finished."""

    position: int | None = None


class OutputImage(msgspec.Struct, frozen=True, kw_only=True):
    """A picture that the provider made: where to fetch it, or its bytes. Untrusted."""

    url: str | None = None
    data: bytes | None = None


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's result. `model` is the model's name there, `seed` the one it used."""

    images: tuple[OutputImage, ...]
    model: str
    seed: int | None = None
    cost: ProviderCost = ProviderCost()


class ProviderLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider allows one account, over all our processes."""

    concurrent: int
    per_minute: int | None = None


class ProviderFailed(Failed):
    """The provider's last word on this request, such as a refusal; `cost` is what it charged."""

    def __init__(
        self, failure: Failure, *, cost: ProviderCost | None = None, provider_code: str = ""
    ) -> None:
        super().__init__(failure)
        self.cost = cost or ProviderCost()
        self.provider_code = provider_code


class RequestUnknown(ProviderFailed):
    """The provider has no such request, or cannot be asked about it by its id alone."""


class ProviderUnavailable(Exception):
    """The provider has taken nothing, and takes nothing now: an outage, a limit, no credits.

    `retry_after`, in seconds, is what it asks us to wait.
    """

    def __init__(self, why: str, *, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class AnswerLost(Exception):
    """The request was sent and no answer came: the provider may have accepted it, and be paid."""


class CallbackRefused(Exception):
    """A callback that is not the provider's, or cannot be read."""


class Provider(Protocol):
    """An adapter. `stages` are those it can make, `models` what it sends each of them to.

    `key_fingerprint` tells its key from another one: what was sent with another key may be unknown
    to this account. `can_find` says whether `find` can answer.
    """

    name: str
    stages: frozenset[StageName]
    models: Mapping[StageName, str]
    key_fingerprint: str
    limits: ProviderLimits
    can_find: bool

    async def submit(self, request: SubmitRequest) -> ProviderJob | Finished:
        """Ask for the stage, once. A synchronous provider answers with the result."""
        ...

    async def find(
        self, request: SubmitRequest, since: datetime, known: Collection[str] = ()
    ) -> ProviderJob | None:
        """The request that was sent since then and whose answer was lost.

        None means that the provider has not accepted it; while that is not certain, this raises
        `ProviderUnavailable`. The request may be without its inputs and parameters, which may be
        gone: a provider finds it by its model, reference and seed. A merchant may choose the seed,
        so the same one may be another request's: those in `known` are never the answer.
        """
        ...

    async def poll(self, job: ProviderJob) -> Running | Finished:
        """How far the request is.

        Of a job that only a callback has named there are no handles; an adapter that needs them
        raises `RequestUnknown`, as it does if the provider does not know the job.
        """
        ...

    async def fetch(self, image: OutputImage) -> bytes:
        """An output's bytes, of at most 25 MB, not looked into yet."""
        ...

    async def cancel(self, job: ProviderJob) -> bool:
        """Ask the provider to stop; False if it cannot, or has finished."""
        ...

    async def callback(self, headers: Mapping[str, str], body: bytes) -> str:
        """Verify a callback where the provider signs them, and say which of its jobs it names."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
