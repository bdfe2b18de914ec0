"""The files of all shops, and their CDN URLs.

A file exists independently; products refer to it. The CDN serves it only once it is ready.
"""

import itertools
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Literal

CDN_HOST = "cdn.shopify.com"

FileStatus = Literal["UPLOADED", "PROCESSING", "READY", "FAILED"]
MediaKind = Literal["MediaImage", "Video", "ExternalVideo", "Model3d"]
MEDIA_CONTENT_TYPES: dict[MediaKind, str] = {
    "MediaImage": "IMAGE",
    "Video": "VIDEO",
    "ExternalVideo": "EXTERNAL_VIDEO",
    "Model3d": "MODEL_3D",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageContent:
    """Bytes and what they are. A merchant's may be any: only what the app uploads is looked at."""

    content: bytes
    content_type: str
    filename: str
    width: int
    """In pixels, as Shopify would report it."""
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One file at one moment. A picture that a merchant replaces is another media."""

    id: int
    shop_number: int
    path: str
    """On the CDN, without the version."""
    version: int
    picture: ImageContent
    created_at: datetime
    updated_at: datetime
    alt: str | None = None
    status: FileStatus = "READY"
    error: str | None = None
    """A FileErrorCode, when the status is FAILED."""
    steps: int = 0
    """How often time has passed for it since it was uploaded."""
    source: str | None = None
    """The external URL that has still to be fetched."""
    kind: MediaKind = "MediaImage"

    @property
    def gid(self) -> str:
        """The id as GraphQL has it."""
        return f"gid://shopify/{self.kind}/{self.id}"

    @property
    def content_type(self) -> str:
        """What GraphQL calls the kind of media, such as IMAGE."""
        return MEDIA_CONTENT_TYPES[self.kind]

    @property
    def url(self) -> str:
        """Where the bytes are; `v` changes with them."""
        return f"https://{CDN_HOST}{self.path}?v={self.version}"

    @property
    def filename(self) -> str:
        """The last part of its address."""
        return PurePosixPath(self.path).name

    @property
    def is_under_way(self) -> bool:
        """Whether it is neither ready nor failed."""
        return self.status in ("UPLOADED", "PROCESSING")


class Library:
    """Every file by its id and by its path; a path belongs to one file."""

    def __init__(self, ids: "itertools.count[int]") -> None:
        self._ids = ids
        self._versions = itertools.count(1_790_000_000)
        self._by_id: dict[int, Media] = {}
        self._by_path: dict[str, int] = {}
        self._under_way: set[int] = set()

    def add(
        self,
        shop_number: int,
        picture: ImageContent,
        now: datetime,
        *,
        alt: str | None = None,
        status: FileStatus = "READY",
        source: str | None = None,
        kind: MediaKind = "MediaImage",
    ) -> Media:
        """Take a file in; a name that is taken gets a UUID, as it does at Shopify."""
        return self.put(
            Media(
                id=next(self._ids),
                shop_number=shop_number,
                path=self._free_path(shop_number, picture.filename),
                version=next(self._versions),
                picture=picture,
                created_at=now,
                updated_at=now,
                alt=alt,
                status=status,
                source=source,
                kind=kind,
            )
        )

    def put(self, media: Media) -> Media:
        """Store this state of a file."""
        self._by_id[media.id] = media
        self._by_path[media.path] = media.id
        if media.is_under_way:
            self._under_way.add(media.id)
        else:
            self._under_way.discard(media.id)
        return media

    def reload(
        self, media: Media, picture: ImageContent, source: str | None, now: datetime
    ) -> Media:
        """Put new bytes in the place of a file's: same id, same path, another version."""
        return self.put(
            replace(
                media,
                picture=picture,
                source=source,
                version=next(self._versions),
                status="UPLOADED",
                error=None,
                steps=0,
                updated_at=now,
            )
        )

    def remove(self, media_id: int) -> None:
        """Forget a file; its address answers 404. One that is not there is no error."""
        self._under_way.discard(media_id)
        media = self._by_id.pop(media_id, None)
        if media is not None:
            del self._by_path[media.path]

    def get(self, media_id: int) -> Media | None:
        """The file as it is now."""
        return self._by_id.get(media_id)

    def named(self, shop_number: int, filename: str) -> Media | None:
        """The shop's file of that name."""
        media_id = self._by_path.get(_path(shop_number, filename))
        return None if media_id is None else self._by_id[media_id]

    def of_shop(self, shop_number: int) -> list[Media]:
        """The shop's files, the oldest first."""
        return [media for media in self._by_id.values() if media.shop_number == shop_number]

    def under_way(self, shop_number: int) -> list[Media]:
        """The shop's files that are neither ready nor failed, the oldest first."""
        found = [self._by_id[media_id] for media_id in sorted(self._under_way)]
        return [media for media in found if media.shop_number == shop_number]

    def served(self, path: str, version: str | None) -> ImageContent | None:
        """Return what the CDN serves at this path; without a version, the current one."""
        media_id = self._by_path.get(path)
        media = None if media_id is None else self._by_id[media_id]
        if media is None or media.status != "READY" or version not in (None, str(media.version)):
            return None
        return media.picture

    def _free_path(self, shop_number: int, filename: str) -> str:
        path = PurePosixPath(_path(shop_number, filename))
        if str(path) in self._by_path:
            path = path.with_stem(f"{path.stem}_{uuid.uuid4()}")
        return str(path)


def _path(shop_number: int, filename: str) -> str:
    return f"/s/files/1/{shop_number}/files/{filename}"


def image_content(
    image: Path | bytes, *, content_type: str, filename: str | None, size: tuple[int, int]
) -> ImageContent:
    """Describe an upload. `size` is width and height in pixels; a path names its own file."""
    width, height = size
    return ImageContent(
        content=image if isinstance(image, bytes) else image.read_bytes(),
        content_type=content_type,
        filename=filename or (image.name if isinstance(image, Path) else "image.jpg"),
        width=width,
        height=height,
    )
