"""What a stage's engine takes, gives, and how it fails.

Bytes go in and come out: an engine never sees storage, the database or a shop, so that a hosted
provider and a local child process look the same to the worker.
"""

from typing import Any, Literal, Protocol

import msgspec

from backend.failures.registry import Failed


class RenderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One stage's work: files by the name the stage knows them under, and its parameters.

    One that is `patient` lets others go first.
    """

    stage: str
    inputs: dict[str, bytes]
    params: dict[str, Any] = {}
    is_low_priority: bool = False


class RenderedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file a stage made. `label` is for people; `meta` goes with the artifact."""

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


class Renderer(Protocol):
    """An engine; it raises `RenderFailed`, and cancelling `render` abandons the work."""

    name: str

    async def render(self, request: RenderRequest) -> Rendered:
        """Run one stage."""
        ...

    async def close(self) -> None:
        """Give back everything that is held; no `render` may follow."""
        ...
