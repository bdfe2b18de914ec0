"""Files and a product's media in the Admin API, a function for each thing that can be asked.

A mutation that Shopify declines raises `MutationRefused` and has changed nothing. One whose answer
was lost raises `ShopifyUnavailable` and may have been done: the caller has to look.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import httpx
import msgspec

from backend.errors import ShopifyUnavailable
from backend.shops import documents
from backend.shops.admin_api import SLOW_DOWN, AdminApi, retry_after
from backend.shops.media_responses import (
    CreatedPayload,
    File,
    FileAnswer,
    FilesAnswer,
    Gallery,
    JobAnswer,
    ProductMediaAnswer,
    ProductVariantsAnswer,
    ReorderedPayload,
    Shown,
    StagedPayload,
    StagedTarget,
    VariantNode,
)
from backend.shops.shopify_responses import readable
from backend.shops.tokens import InstalledShop

T = TypeVar("T")

PATIENCE = 30.0  # seconds to wait, in one call, when Shopify says how long
MAX_PAIRS = 100  # of variant and media, in one call
MAX_MOVES = 250  # in one call
FIXED_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection"})


class MutationRefused(Exception):
    """Shopify declines, in the payload's `userErrors`; `code` is Shopify's own, or empty."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Payload(msgspec.Struct, frozen=True):
    """A mutation's payload of which only the errors matter."""


class UserError(msgspec.Struct, frozen=True):
    """One entry of `userErrors`."""

    message: str
    code: str | None = None


async def gallery(admin: AdminApi, shop: InstalledShop, product: str) -> Gallery | None:
    """The product's media and what its variants show, or None if the shop has no such product."""
    media = await media_of(admin, shop, product)
    if media is None:
        return None
    variants = {variant.id: variant.shows for variant in await variants_of(admin, shop, product)}
    return Gallery(media=tuple(media), variants=variants)


async def media_of(admin: AdminApi, shop: InstalledShop, product: str) -> list[Shown] | None:
    """All of the product's media in their order, or None if the shop has no such product."""
    media: list[Shown] = []
    cursor: str | None = None
    while True:
        data = await ask(admin, shop, documents.PRODUCT_MEDIA, id=product, after=cursor)
        found = readable(data, ProductMediaAnswer).product
        if found is None:
            return None
        media += [
            Shown(id=node.id, alt=node.alt or "", is_ready=node.status == "READY")
            for node in found.media.nodes
        ]
        cursor = found.media.page_info.end_cursor
        if not found.media.page_info.has_next_page:
            return media


async def variants_of(admin: AdminApi, shop: InstalledShop, product: str) -> list[VariantNode]:
    """All of the product's variants."""
    variants: list[VariantNode] = []
    cursor: str | None = None
    while True:
        data = await ask(admin, shop, documents.PRODUCT_VARIANTS, id=product, after=cursor)
        found = readable(data, ProductVariantsAnswer).product
        if found is None:
            return []
        variants += found.variants.nodes
        cursor = found.variants.page_info.end_cursor
        if not found.variants.page_info.has_next_page:
            return variants


async def stage(
    admin: AdminApi, shop: InstalledShop, *, filename: str, content_type: str, size: int
) -> StagedTarget:
    """A place for bytes that a file is to be made of. Harmless to repeat."""
    wanted = {
        "resource": "IMAGE",
        "filename": filename,
        "mimeType": content_type,
        "httpMethod": "PUT",
        "fileSize": str(size),
    }
    payload = await change(admin, shop, documents.STAGE_UPLOAD, StagedPayload, input=[wanted])
    if len(payload.staged_targets) != 1:
        raise ShopifyUnavailable("Shopify returned no upload target.")
    return payload.staged_targets[0]


async def upload(admin: AdminApi, target: StagedTarget, data: bytes, *, content_type: str) -> None:
    """Put the bytes there. No token goes along: the address itself is signed."""
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
    if response.status_code in SLOW_DOWN:
        raise ShopifyUnavailable(wait=retry_after(response))
    if not response.is_success:  # a 4xx too: the address has run out, and the next is fresh
        raise ShopifyUnavailable(f"The upload failed with HTTP {response.status_code}.")


async def create_file(
    admin: AdminApi, shop: InstalledShop, *, source: str, filename: str, alt: str | None
) -> str:
    """A file made of uploaded bytes; its media id. A second one of that name is refused."""
    wanted = {
        "originalSource": source,
        "contentType": "IMAGE",
        "filename": filename,
        "duplicateResolutionMode": "RAISE_ERROR",
        **({"alt": alt} if alt else {}),
    }
    payload = await change(admin, shop, documents.CREATE_FILE, CreatedPayload, files=[wanted])
    if len(payload.files) != 1:
        raise ShopifyUnavailable("Shopify did not return the file that it created.")
    return payload.files[0].id


async def find_file(admin: AdminApi, shop: InstalledShop, filename: str) -> File | None:
    """The shop's picture of that name; the search can be some seconds behind."""
    data = await ask(admin, shop, documents.FIND_FILE, query=f'filename:"{filename}"')
    stem = filename.rpartition(".")[0].lower()
    for file in readable(data, FilesAnswer).files.nodes:
        if file.id is not None and (file.stem is None or file.stem.lower() == stem):
            return file
    return None


async def file_state(admin: AdminApi, shop: InstalledShop, media: str) -> File | None:
    """The picture as it is now, or None if it has been deleted."""
    file = readable(await ask(admin, shop, documents.FILE, id=media), FileAnswer).node
    return None if file is None or file.id is None else file


async def attach(admin: AdminApi, shop: InstalledShop, *, media: str, product: str) -> None:
    """Show a ready file behind the product's other media."""
    await update_files(admin, shop, [{"id": media, "referencesToAdd": [product]}])


async def set_alts(admin: AdminApi, shop: InstalledShop, alts: dict[str, str]) -> None:
    """Give each media its alt text."""
    await update_files(admin, shop, [{"id": media, "alt": alt} for media, alt in alts.items()])


async def update_files(
    admin: AdminApi, shop: InstalledShop, files: list[dict[str, object]]
) -> None:
    """Change files, all or none."""
    await change(admin, shop, documents.UPDATE_FILES, Payload, files=files)


async def delete_file(admin: AdminApi, shop: InstalledShop, media: str) -> None:
    """Delete a file, and with it what shows it; one that has gone already will do."""
    try:
        await change(admin, shop, documents.DELETE_FILES, Payload, ids=[media])
    except MutationRefused as error:
        if error.code != "FILE_DOES_NOT_EXIST":
            raise


async def reorder(
    admin: AdminApi, shop: InstalledShop, product: str, moves: Sequence[tuple[str, int]]
) -> str | None:
    """Begin to move media, each to its place counted from 0; the id of the job that does it."""
    wanted = [{"id": media, "newPosition": str(place)} for media, place in moves[:MAX_MOVES]]
    payload = await change(
        admin, shop, documents.REORDER_MEDIA, ReorderedPayload, id=product, moves=wanted
    )
    return payload.job.id if payload.job else None


async def is_done(admin: AdminApi, shop: InstalledShop, job: str) -> bool:
    """Whether that job is over."""
    found = readable(await ask(admin, shop, documents.JOB, id=job), JobAnswer).job
    return found is None or found.done


async def detach_from_variants(
    admin: AdminApi, shop: InstalledShop, product: str, pairs: Iterable[tuple[str, str]]
) -> None:
    """Let variants show nothing any more; each pair is a variant and its media."""
    await change_variants(admin, shop, documents.DETACH_VARIANT_MEDIA, product, list(pairs))


async def append_to_variants(
    admin: AdminApi, shop: InstalledShop, product: str, pairs: Iterable[tuple[str, str]]
) -> None:
    """Let variants that show nothing show a media; each pair is a variant and the media."""
    await change_variants(admin, shop, documents.APPEND_VARIANT_MEDIA, product, list(pairs))


async def change_variants(
    admin: AdminApi,
    shop: InstalledShop,
    document: str,
    product: str,
    pairs: list[tuple[str, str]],
) -> None:
    """A mutation of variants, as many at a time as one takes."""
    for start in range(0, len(pairs), MAX_PAIRS):
        batch = [
            {"variantId": variant, "mediaIds": [media]}
            for variant, media in pairs[start : start + MAX_PAIRS]
        ]
        await change(admin, shop, document, Payload, id=product, pairs=batch)


async def change(
    admin: AdminApi, shop: InstalledShop, document: str, kind: type[T], **variables: Any
) -> T:
    """The payload of a mutation as a `kind`. Raises `MutationRefused`."""
    data = await ask(admin, shop, document, **variables)
    payload = next(iter(readable(data, dict[str, dict[str, Any]]).values()), {})
    errors = [*(payload.get("userErrors") or ()), *(payload.get("mediaUserErrors") or ())]
    if errors:
        first = readable(errors[0], UserError)
        raise MutationRefused(first.code or "", first.message)
    return readable(payload, kind)


async def ask(admin: AdminApi, shop: InstalledShop, document: str, **variables: Any) -> Any:
    """`data` of the answer, however long Shopify makes us wait, within reason."""
    return await admin.graphql(
        shop.domain, shop.access_token, document, variables, patience=PATIENCE
    )
