"""What Shopify answers about files and a product's media, as far as we read it."""

from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

import msgspec

from backend.shops.shopify_responses import Identified, Image, PageInfo


class GalleryMedia(msgspec.Struct, frozen=True, kw_only=True):
    """One media of a product. `is_ready` says that Shopify lets it be changed."""

    id: str
    alt: str = ""
    is_ready: bool = True


class Gallery(msgspec.Struct, frozen=True, kw_only=True):
    """A product's media in their order, and which of them each variant shows."""

    media: tuple[GalleryMedia, ...]
    variants: dict[str, str | None]

    @property
    def ids(self) -> list[str]:
        """The media in their order."""
        return [shown.id for shown in self.media]


class MediaNode(msgspec.Struct, frozen=True):
    """A media in a product's list."""

    id: str
    status: str
    alt: str | None = None


class MediaPage(msgspec.Struct, frozen=True, rename="camel"):
    """Some of a product's media."""

    nodes: list[MediaNode]
    page_info: PageInfo


class MediaOfProduct(msgspec.Struct, frozen=True):
    """A product with a page of media."""

    media: MediaPage


class ProductMediaAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.PRODUCT_MEDIA`."""

    product: MediaOfProduct | None


class VariantMedia(msgspec.Struct, frozen=True):
    """What a variant shows: one media at most."""

    nodes: list[Identified]


class VariantNode(msgspec.Struct, frozen=True):
    """A variant in a product's list."""

    id: str
    media: VariantMedia

    @property
    def shows(self) -> str | None:
        """Its media."""
        return self.media.nodes[0].id if self.media.nodes else None


class VariantPage(msgspec.Struct, frozen=True, rename="camel"):
    """Some of a product's variants."""

    nodes: list[VariantNode]
    page_info: PageInfo


class VariantsOfProduct(msgspec.Struct, frozen=True):
    """A product with a page of variants."""

    variants: VariantPage


class ProductVariantsAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.PRODUCT_VARIANTS`."""

    product: VariantsOfProduct | None


class Parameter(msgspec.Struct, frozen=True):
    """What has to go along with an upload."""

    name: str
    value: str


class StagedTarget(msgspec.Struct, frozen=True, rename="camel"):
    """Where to put bytes, and how mutations name them then."""

    url: str
    resource_url: str
    parameters: list[Parameter]


class StagedPayload(msgspec.Struct, frozen=True, rename="camel"):
    """What `stagedUploadsCreate` made."""

    staged_targets: list[StagedTarget]


class FileError(msgspec.Struct, frozen=True):
    """Why a file failed."""

    code: str


class File(msgspec.Struct, frozen=True, rename="camel"):
    """A picture among the shop's files; anything else has no id here."""

    id: str | None = None
    file_status: str = ""
    file_errors: list[FileError] = []
    image: Image | None = None

    @property
    def stem(self) -> str | None:
        """Its name without the extension, once it is ready."""
        if self.image is None:
            return None
        return PurePosixPath(unquote(urlsplit(self.image.url).path)).stem


class CreatedPayload(msgspec.Struct, frozen=True):
    """What `fileCreate` made."""

    files: list[Identified]


class FilesPage(msgspec.Struct, frozen=True):
    """The files that a search has found."""

    nodes: list[File]


class FilesAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.FIND_FILE`."""

    files: FilesPage


class FileAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.FILE`."""

    node: File | None


class ReorderedPayload(msgspec.Struct, frozen=True):
    """What `productReorderMedia` began."""

    job: Identified | None


class JobState(msgspec.Struct, frozen=True):
    """Something that Shopify does by and by."""

    done: bool


class JobAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.JOB`; a job that is long over is not known any more."""

    job: JobState | None
