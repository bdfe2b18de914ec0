"""What an engine takes, what it returns, and how it fails.

Bytes go in and come out: an engine never sees storage, the database or a shop, so that a hosted
provider and a local child process look the same to the worker.
"""

from typing import Any, Literal, Protocol

import msgspec

from backend.failures.registry import Failed
from backend.workflows.stages import StageName


class RenderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of one job: its files by name, the job's parameters and what is known so far.

    `params` are of the workflow's own struct (`Workflow.parameters`). `facts` are what each earlier
    stage answered, by the stage's name. A request of low priority lets others go first.

    `idempotency_token` is the same for the same stage of the same job with the same input, whenever
    and however often it is asked: an engine that is paid by the call can tell a repeated request by
    it. An upload has neither job nor token.
    """

    stage: str
    inputs: dict[str, bytes]
    job_type: str = ""
    job_id: str | None = None
    idempotency_token: str | None = None
    params: dict[str, Any] = {}
    facts: dict[str, dict[str, Any]] = {}
    is_low_priority: bool = False


class RenderedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file that a stage made. `label` is for people; `meta` goes with the artifact."""

    name: str
    kind: str
    role: Literal["intermediate", "final"]
    label: str | None
    content_type: str
    data: bytes
    meta: dict[str, Any]


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """A finished stage; `facts` are JSON-able and kept with the stage's checkpoint."""

    files: list[RenderedFile]
    facts: dict[str, Any]


class RenderFailed(Failed):
    """A stage that did not finish; its failure is shown to the merchant."""


class NativeCrash(RenderFailed):
    """A library's native code ended the child process in the middle of the stage.

    Only a broken or crafted file is known to do so. The failure is retryable as any other crash.
    """


class Renderer(Protocol):
    """Renders stages. It raises `RenderFailed`; cancelling `render` abandons the work."""

    name: str

    async def render(self, request: RenderRequest) -> Rendered:
        """Run one stage."""
        ...

    async def close(self) -> None:
        """Release everything that is held; no `render` may follow."""
        ...


class Engine(Renderer, Protocol):
    """A renderer that says which stages it can run, so that this is checked at start."""

    stages: frozenset[StageName]
