"""What is known of an artifact's `meta`: for the API's description only.

The engine of a stage writes it, it is stored as JSON and may grow. So every field is optional.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType


class EngineMeta(msgspec.Struct, frozen=True, kw_only=True):
    """Which engine made the pixels. `model` is null where colour alone decided."""

    name: str | UnsetType = UNSET
    version: str | UnsetType = UNSET
    model: str | UnsetType | None = UNSET
    model_sha256: str | UnsetType | None = UNSET


class ConcernMeta(msgspec.Struct, frozen=True, kw_only=True):
    """A reason to look at the image: a stable code, and words for the merchant."""

    code: str
    message: str


class GeneratingStageMeta(msgspec.Struct, frozen=True, kw_only=True):
    """A stage in which a hosted model generated pixels; `seed` is null where none is known."""

    stage: str
    provider: str | None
    model: str | None
    seed: int | None


class ArtifactMeta(msgspec.Struct, frozen=True, kw_only=True):
    """How an image was made, and what to check. Further fields depend on `kind` and may be added.

    `quality` has the measured figures, `lqip` is a tiny preview as a data URL, `bytes` the size of
    the file. `generative` says whether a model invented pixels; then `provider`, `model` and `seed`
    are those of the last stage in `generated_by`.
    """

    content_type: str | UnsetType = UNSET
    width: Annotated[int, msgspec.Meta(ge=1)] | UnsetType = UNSET
    height: Annotated[int, msgspec.Meta(ge=1)] | UnsetType = UNSET
    bytes: Annotated[int, msgspec.Meta(ge=0)] | UnsetType = UNSET
    sha256: str | UnsetType = UNSET
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | UnsetType = UNSET
    lqip: str | UnsetType = UNSET
    engine: EngineMeta | UnsetType = UNSET
    quality: dict[str, Any] | UnsetType = UNSET
    verdict: Literal["pass", "needs_review"] | UnsetType = UNSET
    reasons: list[ConcernMeta] | UnsetType = UNSET
    notes: list[ConcernMeta] | UnsetType = UNSET
    generative: bool | UnsetType = UNSET
    provider: str | UnsetType | None = UNSET
    model: str | UnsetType | None = UNSET
    seed: int | UnsetType | None = UNSET
    generated_by: list[GeneratingStageMeta] | UnsetType = UNSET
    digital_source_type: str | UnsetType = UNSET
    is_preview: bool | UnsetType = UNSET
    synthetic_person: bool | UnsetType = UNSET
    fit_q: float | UnsetType = UNSET
    renderer: str | UnsetType = UNSET
