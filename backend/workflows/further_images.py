"""The images that some workflows take beside the product's photo."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from backend.workflows.pictures import END, PRIVATE_UPLOAD_FIELDS, UploadKey
from backend.workflows.stages import StageFile

CatalogName = Literal["models", "backgrounds", "complementary-garments"]


class FurtherImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that a request names by an upload, by an entry of the catalog, or by either.

    A stage that would make `file` is skipped when a request names it.
    """

    file: StageFile
    what: str  # as an error calls it
    upload_field: str | None = None
    entry_field: str | None = None
    catalog: CatalogName | None = None  # where `entry_field` is looked up
    is_required: bool = True

    @property
    def ways(self) -> tuple[str, ...]:
        """The fields that can name it."""
        return tuple(name for name in (self.upload_field, self.entry_field) if name)

    @property
    def ways_to_keep(self) -> tuple[str, ...]:
        """The fields by which a rule or a batch can name it for many jobs."""
        return tuple(name for name in self.ways if name not in PRIVATE_UPLOAD_FIELDS)

    def is_in(self, request: Mapping[str, Any]) -> bool:
        """Whether the request, as a job stores it, names this image."""
        return any(name in request for name in self.ways)

    def fields(self, ways: tuple[str, ...]) -> list[tuple[Any, ...]]:
        """Fields of a request struct. One is required only where there is no other way."""
        if self.is_required and len(ways) == 1:
            return [(name, self._type_of(name)) for name in ways]
        return [(name, self._type_of(name) | None, None) for name in ways]

    def _type_of(self, field: str) -> Any:
        if field == self.upload_field:
            return UploadKey
        description = f"An entry of `GET /v1/catalog/{self.catalog}`."
        return Annotated[str, msgspec.Meta(pattern=ENTRY_PATTERN, description=description)]


ENTRY_PATTERN = f"^[0-7][0-9A-HJKMNP-TV-Z]{{25}}{END}"  # a ULID


def object_field_of(entry_field: str) -> str:
    """The field in which a job stores the object key of its catalog entry."""
    return entry_field.removesuffix("_id") + "_key"


PERSON = FurtherImage(
    file=StageFile.PERSON,
    what="the person",
    upload_field="person_upload_key",
    entry_field="model_id",
    catalog="models",
)
BACKGROUND = FurtherImage(
    file=StageFile.BACKGROUND,
    what="the background",
    upload_field="background_upload_key",
    entry_field="background_id",
    catalog="backgrounds",
)


def garment(number: int, file: StageFile) -> FurtherImage:
    """A further garment of a look; only the second one is required."""
    return FurtherImage(
        file=file,
        what=f"garment {number}",
        upload_field=f"garment_{number}_upload_key",
        entry_field=f"garment_{number}_id",
        catalog="complementary-garments",
        is_required=number == 2,
    )
