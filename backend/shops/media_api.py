"""Files and product media in the Admin API: one function per query or mutation.

A mutation that Shopify declines raises `MutationRefused` and has changed nothing. If its response
is lost, it raises `ShopifyUnavailable` and may have been executed: the caller has to check.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import httpx
import msgspec

from backend.errors import ShopifyUnavailable
from backend.shops import documents
from backend.shops.admin_api import AdminApi
from backend.shops.media_responses import (
    CreatedPayload,
    File,
    FileAnswer,
    FilesAnswer,
    Gallery,
    GalleryMedia,
    JobAnswer,
    PageOfProduct,
    ProductMediaAnswer,
    ProductVariantsAnswer,
    ReorderedPayload,
    ShownMedia,
    ShownProduct,
    ShownProductAnswer,
    StagedPayload,
    StagedTarget,
    VariantNode,
)
from backend.shops.pagination import PageCursor
from backend.shops.response_status import THROTTLED_STATUSES, retry_after
from backend.shops.shopify_responses import readable
from backend.shops.tokens import InstalledShop

T = TypeVar("T")

MAX_MEDIA_THROTTLE_WAIT = 30.0  # seconds in one call, when Shopify says how long
MAX_SHOWN_PAGES = 3  # of 100; a product has at most 250 media
MAX_VARIANT_PAIRS = 100  # of variant and media, in one call
MAX_MOVES = 250  # in one call
FIXED_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection"})


class MutationRefused(Exception):
    """Shopify declined the mutation in `userErrors`; `code` is Shopify's own, or empty."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class MutationPayload(msgspec.Struct, frozen=True):
    """A mutation's payload if only its errors matter."""


class UserError(msgspec.Struct, frozen=True):
    """One entry of `userErrors`."""

    message: str
    code: str | None = None


async def gallery(admin: AdminApi, shop: InstalledShop, product: str) -> Gallery | None:
    """The product's media and its variants' media, or None if the shop has no such product."""
    media = await media_of(admin, shop, product)
    if media is None:
        return None
    variants = {variant.id: variant.shows for variant in await variants_of(admin, shop, product)}
    return Gallery(media=tuple(media), variants=variants)


async def media_of(admin: AdminApi, shop: InstalledShop, product: str) -> list[GalleryMedia] | None:
    """All media of the product in their order, or None if the shop has no such product."""
    media: list[GalleryMedia] = []
    cursor = PageCursor()
    while True:
        data = await ask(admin, shop, documents.PRODUCT_MEDIA, id=product, after=cursor.after)
        found = readable(data, ProductMediaAnswer).product
        if found is None:
            return None
        media += [
            GalleryMedia(id=node.id, alt=node.alt or "", is_ready=node.status == "READY")
            for node in found.media.nodes
        ]
        if not cursor.advance(found.media):
            return media


async def shown_product(admin: AdminApi, shop: InstalledShop, gid: str) -> ShownProduct | None:
    """The product with its media, or None if the shop has no such product. For a waiting caller.

    It waits for no throttle, and stops after `MAX_SHOWN_PAGES`.
    """
    media: list[ShownMedia] = []
    found: PageOfProduct | None = None
    cursor = PageCursor()
    for _ in range(MAX_SHOWN_PAGES):
        variables = {"id": gid, "after": cursor.after}
        data = await admin.graphql(
            shop.domain, shop.access_token, documents.SHOWN_PRODUCT, variables
        )
        found = readable(data, ShownProductAnswer).product
        if found is None:
            return None
        media += found.media.nodes
        if not cursor.advance(found.media):
            break
    assert found is not None, "there is at least one page"
    return ShownProduct(id=found.id, title=found.title, handle=found.handle, media=tuple(media))


async def variants_of(admin: AdminApi, shop: InstalledShop, product: str) -> list[VariantNode]:
    """All variants of the product."""
    variants: list[VariantNode] = []
    cursor = PageCursor()
    while True:
        data = await ask(admin, shop, documents.PRODUCT_VARIANTS, id=product, after=cursor.after)
        found = readable(data, ProductVariantsAnswer).product
        if found is None:
            return []
        variants += found.variants.nodes
        if not cursor.advance(found.variants):
            return variants


async def stage(
    admin: AdminApi, shop: InstalledShop, *, filename: str, content_type: str, size: int
) -> StagedTarget:
    """Create a staged upload target. Harmless to repeat."""
    wanted = {
        "resource": "IMAGE",
        "filename": filename,
        "mimeType": content_type,
        "httpMethod": "PUT",
        "fileSize": str(size),
    }
    payload = await mutate(admin, shop, documents.STAGE_UPLOAD, StagedPayload, input=[wanted])
    if len(payload.staged_targets) != 1:
        raise ShopifyUnavailable("Shopify returned no upload target.")
    return payload.staged_targets[0]


async def upload(admin: AdminApi, target: StagedTarget, data: bytes, *, content_type: str) -> None:
    """Upload the bytes to the target, without a token: its URL is signed."""
    parameters = {
        each.name: each.value
        for each in target.parameters
        if each.name.lower() not in FIXED_HEADERS
    }
    headers = {**parameters, "Content-Type": content_type}
    try:
        response = await admin.files.put(target.url, content=data, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ShopifyUnavailable from error
    if response.status_code in THROTTLED_STATUSES:
        raise ShopifyUnavailable(wait=retry_after(response))
    if not response.is_success:  # a 4xx too: the URL has expired, and the next one is fresh
        raise ShopifyUnavailable(f"The upload was answered with HTTP {response.status_code}.")


async def create_file(
    admin: AdminApi, shop: InstalledShop, *, source: str, filename: str, alt: str | None
) -> str:
    """Create a file from an upload; returns its media id. Shopify refuses a name that exists."""
    wanted = {
        "originalSource": source,
        "contentType": "IMAGE",
        "filename": filename,
        "duplicateResolutionMode": "RAISE_ERROR",
        **({"alt": alt} if alt else {}),
    }
    payload = await mutate(admin, shop, documents.CREATE_FILE, CreatedPayload, files=[wanted])
    if len(payload.files) != 1:
        raise ShopifyUnavailable("Shopify did not return the file that it created.")
    return payload.files[0].id


async def find_file(admin: AdminApi, shop: InstalledShop, filename: str) -> File | None:
    """The shop's image file of that name. Shopify's search can lag by some seconds."""
    stem = filename.rpartition(".")[0].lower()
    query = f'filename:"{filename}"'
    cursor = PageCursor()
    while True:
        data = await ask(admin, shop, documents.FIND_FILE, query=query, after=cursor.after)
        files = readable(data, FilesAnswer).files
        for file in files.nodes:
            if file.id is not None and (file.stem is None or file.stem.lower() == stem):
                return file
        if not cursor.advance(files):
            return None


async def file_state(admin: AdminApi, shop: InstalledShop, media: str) -> File | None:
    """The current image file, or None if it was deleted."""
    file = readable(await ask(admin, shop, documents.FILE, id=media), FileAnswer).node
    return None if file is None or file.id is None else file


async def attach(admin: AdminApi, shop: InstalledShop, *, media: str, product: str) -> None:
    """Append a ready file to the product's media."""
    await update_files(admin, shop, [{"id": media, "referencesToAdd": [product]}])


async def set_alts(admin: AdminApi, shop: InstalledShop, alts: dict[str, str]) -> None:
    """Set the alt text of each media."""
    await update_files(admin, shop, [{"id": media, "alt": alt} for media, alt in alts.items()])


async def update_files(
    admin: AdminApi, shop: InstalledShop, files: list[dict[str, object]]
) -> None:
    """Update the files, all or none."""
    await mutate(admin, shop, documents.UPDATE_FILES, MutationPayload, files=files)


async def delete_file(admin: AdminApi, shop: InstalledShop, media: str) -> None:
    """Delete a file, also from products; a file that is already gone is not an error."""
    try:
        await mutate(admin, shop, documents.DELETE_FILES, MutationPayload, ids=[media])
    except MutationRefused as error:
        if error.code != "FILE_DOES_NOT_EXIST":
            raise


async def reorder(
    admin: AdminApi, shop: InstalledShop, product: str, moves: Sequence[tuple[str, int]]
) -> str | None:
    """Start moving media to zero-based positions; returns the id of Shopify's job."""
    wanted = [{"id": media, "newPosition": str(index)} for media, index in moves[:MAX_MOVES]]
    payload = await mutate(
        admin, shop, documents.REORDER_MEDIA, ReorderedPayload, id=product, moves=wanted
    )
    return payload.job.id if payload.job else None


async def is_done(admin: AdminApi, shop: InstalledShop, job: str) -> bool:
    """Whether that job has finished."""
    found = readable(await ask(admin, shop, documents.SHOPIFY_JOB, id=job), JobAnswer).job
    return found is None or found.done


async def detach_from_variants(
    admin: AdminApi, shop: InstalledShop, product: str, pairs: Iterable[tuple[str, str]]
) -> None:
    """Remove the media of variants; each pair is a variant and its media."""
    await change_variants(admin, shop, documents.DETACH_VARIANT_MEDIA, product, list(pairs))


async def append_to_variants(
    admin: AdminApi, shop: InstalledShop, product: str, pairs: Iterable[tuple[str, str]]
) -> None:
    """Set the media of variants that have none; each pair is a variant and a media."""
    await change_variants(admin, shop, documents.APPEND_VARIANT_MEDIA, product, list(pairs))


async def change_variants(
    admin: AdminApi,
    shop: InstalledShop,
    document: str,
    product: str,
    pairs: list[tuple[str, str]],
) -> None:
    """Run a mutation on variants in batches of Shopify's maximum size."""
    for start in range(0, len(pairs), MAX_VARIANT_PAIRS):
        batch = [
            {"variantId": variant, "mediaIds": [media]}
            for variant, media in pairs[start : start + MAX_VARIANT_PAIRS]
        ]
        await mutate(admin, shop, document, MutationPayload, id=product, pairs=batch)


async def mutate(
    admin: AdminApi, shop: InstalledShop, document: str, kind: type[T], **variables: Any
) -> T:
    """The payload of a mutation as a `kind`. Raises `MutationRefused`."""
    return payload_of(await ask(admin, shop, document, **variables), kind)


def payload_of(data: Any, kind: type[T]) -> T:
    """The payload of the one mutation in `data`. Raises `MutationRefused`."""
    payload = next(iter(readable(data, dict[str, dict[str, Any]]).values()), {})
    errors = [*(payload.get("userErrors") or ()), *(payload.get("mediaUserErrors") or ())]
    if errors:
        first = readable(errors[0], UserError)
        raise MutationRefused(first.code or "", first.message)
    return readable(payload, kind)


async def ask(admin: AdminApi, shop: InstalledShop, document: str, **variables: Any) -> Any:
    """`data` of the response, waiting for Shopify's throttle up to the limit."""
    return await admin.graphql(
        shop.domain, shop.access_token, document, variables, max_wait=MAX_MEDIA_THROTTLE_WAIT
    )
