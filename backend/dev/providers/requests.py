"""What the stand-in provider has accepted and made: its memory, without HTTP."""

import asyncio
import itertools
import secrets
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from backend.dev.providers.faults import OrderedFault, ProviderFaults
from backend.dev.providers.models import HostedModel

Api = Literal["fashn", "fal"]
RequestStatus = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class ModelError:
    """Why a request failed, in both providers' words. `fal_status` is that of fal's result."""

    fashn_name: str
    fal_type: str
    message: str
    fal_status: int = 422
    loc: tuple[str, ...] = ("body",)


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A picture that was made. `fault` is what is wrong with it, `expires_at` by the clock."""

    name: str
    content: bytes
    content_type: str
    width: int
    height: int
    expires_at: float
    fault: OrderedFault | None = None


@dataclass(slots=True, kw_only=True)
class AcceptedRequest:
    """One accepted request, which the real provider would be paid for."""

    id: str
    api: Api
    model: HostedModel
    inputs: dict[str, Any]
    """As they were sent, but with images that came as data URIs kept aside by their digest."""
    headers: dict[str, str]
    callback_url: str | None
    origin: str
    """How its URLs begin."""
    number: int
    accepted_at: float
    status: RequestStatus = "waiting"
    started_at: float | None = None
    ended_at: float | None = None
    files: list[OutputFile] = field(default_factory=list)
    error: ModelError | None = None
    seed: int = 0
    units: float = 0.0
    """What was charged for it: credits at FASHN, billable units at fal."""
    callback_fault: OrderedFault | None = None
    work_fault: OrderedFault | None = None
    output_fault: OrderedFault | None = None
    callback_statuses: list[int | None] = field(default_factory=list)
    """What each delivery of its callback was answered; None for no answer."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def waited(self) -> float:
        """Seconds in the queue, once it has started."""
        return (self.started_at or self.accepted_at) - self.accepted_at

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.ended.is_set()


@dataclass(slots=True, kw_only=True)
class ProviderState:
    """The whole of the stand-in's memory. Its fields can be changed at any time."""

    fashn_key: str
    fal_key: str
    clock: Callable[[], float]
    """Seconds since the epoch."""
    origin: str = ""
    """Where the server listens, once it does."""
    seconds: float = 0.2
    """How long a model works on one request."""
    runners: int = 8
    """How many requests are worked on at once; the others wait. Read once, at the start."""
    fashn_concurrency: int = 6
    """How many unfinished requests FASHN lets an account have."""
    fashn_runs_per_minute: int = 50
    fashn_polls_per_ten_seconds: int = 50
    fashn_credits: float = 100_000.0
    fal_is_locked: bool = False
    """fal's balance is exhausted."""
    fal_lists_unfinished: bool = False
    """Whether fal's list of requests has those that have not ended, which is not documented."""
    fal_user_id: str = "stand-in-user"
    output_lifetime: float = 3600.0
    """Seconds that an output's URL is good for, unless the request says another."""
    callback_delays: tuple[float, ...] = (1.0, 5.0, 30.0, 60.0, 120.0)
    """Seconds before each repetition of a callback that was not answered 2xx."""
    predictions: dict[str, AcceptedRequest] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)
    """What came as data URIs, by sha256."""
    outputs: dict[str, OutputFile] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    """How many requests of each kind came in, refused ones included."""
    faults: ProviderFaults = field(default_factory=ProviderFaults)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is not set, everything waits in the queue."""
    fashn_runs: deque[float] = field(default_factory=deque)
    fashn_polls: deque[float] = field(default_factory=deque)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    started: int = 0

    def accept(
        self,
        api: Api,
        model: HostedModel,
        inputs: dict[str, Any],
        *,
        headers: dict[str, str],
        callback_url: str | None,
    ) -> AcceptedRequest:
        """Put a request in the queue."""
        suffix = "-u1" if api == "fashn" else ""
        seed = inputs.get("seed")
        prediction = AcceptedRequest(
            id=f"{uuid.uuid4()}{suffix}",
            api=api,
            model=model,
            inputs=inputs,
            headers=headers,
            callback_url=callback_url,
            origin=self.origin,
            number=next(self.numbers),
            accepted_at=self.clock(),
            seed=seed if isinstance(seed, int) else secrets.randbelow(2**31),
            callback_fault=self.faults.take("callback"),
            work_fault=self.faults.take("work"),
            output_fault=self.faults.take("output"),
        )
        self.predictions[prediction.id] = prediction
        return prediction

    def forget(self) -> None:
        """Empty the queue and everything that is counted."""
        for kept in (self.predictions, self.images, self.outputs, self.calls):
            kept.clear()
        self.fashn_runs.clear()
        self.fashn_polls.clear()
        self.faults.clear()
        self.numbers, self.started = itertools.count(), 0

    def position(self, prediction: AcceptedRequest) -> int:
        """How many requests are before it in the queue."""
        return max(0, prediction.number - self.started)

    def unfinished(self, api: Api) -> int:
        """How many requests of this provider wait or are worked on."""
        return sum(each.api == api and not each.has_ended for each in self.predictions.values())
