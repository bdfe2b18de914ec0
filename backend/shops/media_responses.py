"""Shopify's responses about files and product media: the types that we read."""

from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec

from backend.shops.shopify_responses import Identified, Image, PageInfo


class GalleryMedia(msgspec.Struct, frozen=True, kw_only=True):
    """One media of a product. Shopify allows changes only if `is_ready`."""

    id: str
    alt: str = ""
    is_ready: bool = True


class Gallery(msgspec.Struct, frozen=True, kw_only=True):
    """A product's media in their order, and the media of each variant."""

    media: tuple[GalleryMedia, ...]
    variants: dict[str, str | None]

    @property
    def ids(self) -> list[str]:
        """The media ids in their order."""
        return [media.id for media in self.media]


class MediaNode(msgspec.Struct, frozen=True):
    """A media in a product's list."""

    id: str
    status: str
    alt: str | None = None


class MediaPage(msgspec.Struct, frozen=True, rename="camel"):
    """A page of a product's media."""

    nodes: list[MediaNode]
    page_info: PageInfo


class MediaOfProduct(msgspec.Struct, frozen=True):
    """A product with a page of media."""

    media: MediaPage


class ProductMediaAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.PRODUCT_MEDIA`."""

    product: MediaOfProduct | None


class MediaPreview(msgspec.Struct, frozen=True):
    """The picture of a media; of a video, one of its frames."""

    image: Image | None = None


class ShownMedia(msgspec.Struct, frozen=True, rename="camel"):
    """A media of a product, as the merchant sees it."""

    id: str
    media_content_type: Literal["IMAGE", "VIDEO", "EXTERNAL_VIDEO", "MODEL_3D"]
    alt: str | None = None
    preview: MediaPreview | None = None

    @property
    def image_url(self) -> str | None:
        """Its picture on Shopify's CDN, once there is one."""
        return self.preview.image.url if self.preview and self.preview.image else None


class ShownProduct(msgspec.Struct, frozen=True, kw_only=True):
    """A product with all its media, in their order."""

    id: str
    title: str
    handle: str
    media: tuple[ShownMedia, ...]


class ShownPage(msgspec.Struct, frozen=True, rename="camel"):
    """A page of a product's media, as the merchant sees them."""

    nodes: list[ShownMedia]
    page_info: PageInfo


class PageOfProduct(msgspec.Struct, frozen=True):
    """A product with a page of its media."""

    id: str
    title: str
    handle: str
    media: ShownPage


class ShownProductAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.SHOWN_PRODUCT`."""

    product: PageOfProduct | None


class VariantMedia(msgspec.Struct, frozen=True):
    """A variant's media: at most one."""

    nodes: list[Identified]


class VariantNode(msgspec.Struct, frozen=True):
    """A variant in a product's list."""

    id: str
    media: VariantMedia

    @property
    def shows(self) -> str | None:
        """The id of its media, if it has one."""
        return self.media.nodes[0].id if self.media.nodes else None


class VariantPage(msgspec.Struct, frozen=True, rename="camel"):
    """A page of a product's variants."""

    nodes: list[VariantNode]
    page_info: PageInfo


class VariantsOfProduct(msgspec.Struct, frozen=True):
    """A product with a page of variants."""

    variants: VariantPage


class ProductVariantsAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.PRODUCT_VARIANTS`."""

    product: VariantsOfProduct | None


class Parameter(msgspec.Struct, frozen=True):
    """A header to send with an upload."""

    name: str
    value: str


class StagedTarget(msgspec.Struct, frozen=True, rename="camel"):
    """An upload URL, and the `resource_url` by which mutations refer to the upload."""

    url: str
    resource_url: str
    parameters: list[Parameter]


class StagedPayload(msgspec.Struct, frozen=True, rename="camel"):
    """The payload of `stagedUploadsCreate`."""

    staged_targets: list[StagedTarget]


class FileError(msgspec.Struct, frozen=True):
    """Why a file failed."""

    code: str


class File(msgspec.Struct, frozen=True, rename="camel"):
    """An image among the shop's files; other files have no id here."""

    id: str | None = None
    file_status: str = ""
    file_errors: list[FileError] = []
    image: Image | None = None

    @property
    def stem(self) -> str | None:
        """The file name without its extension, once it is ready."""
        if self.image is None:
            return None
        return PurePosixPath(unquote(urlsplit(self.image.url).path)).stem


class CreatedPayload(msgspec.Struct, frozen=True):
    """The payload of `fileCreate`."""

    files: list[Identified]


class FilesPage(msgspec.Struct, frozen=True, rename="camel"):
    """A page of the results of a search for files."""

    nodes: list[File]
    page_info: PageInfo


class FilesAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.FIND_FILE`."""

    files: FilesPage


class FileAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.FILE`."""

    node: File | None


class ReorderedPayload(msgspec.Struct, frozen=True):
    """The payload of `productReorderMedia`."""

    job: Identified | None


class JobState(msgspec.Struct, frozen=True):
    """An asynchronous job of Shopify."""

    done: bool


class JobAnswer(msgspec.Struct, frozen=True):
    """The data of `documents.JOB`; null once it has ended long ago."""

    job: JobState | None
