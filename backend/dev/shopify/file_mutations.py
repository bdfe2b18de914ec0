"""The mutations of files: staging, creating, changing, deleting.

All or nothing: the first problem that is found refuses the whole call.
"""

from dataclasses import replace

from backend.dev.shopify.connections import Resolver
from backend.dev.shopify.graphql_context import Arguments, GraphQlContext, kind_of
from backend.dev.shopify.intake import check_alt, initial_content, is_filename
from backend.dev.shopify.media import ImageContent, Media
from backend.dev.shopify.processing import MAX_FILE_SIZE
from backend.dev.shopify.products import ProductRecord, without_files
from backend.dev.shopify.refusals import Refusal
from backend.dev.shopify.staging import Target
from backend.dev.shopify.views import View, media_view

MAX_MEDIA = 250  # of one product


def file_mutations(context: GraphQlContext) -> dict[str, Resolver]:
    """A resolver for each mutation of files."""
    return {
        "stagedUploadsCreate": context.mutation(
            "stagedUploadsCreate", lambda arguments: _stage(context, arguments), stagedTargets=None
        ),
        "fileCreate": context.mutation(
            "fileCreate", lambda arguments: _create(context, arguments), files=[]
        ),
        "fileUpdate": context.mutation(
            "fileUpdate", lambda arguments: _update(context, arguments), files=[]
        ),
        "fileDelete": context.mutation(
            "fileDelete", lambda arguments: _delete(context, arguments), deletedFileIds=None
        ),
    }


# Staging


def _stage(context: GraphQlContext, arguments: Arguments) -> View:
    wanted = arguments["input"]
    for index, each in enumerate(wanted):
        _check_staged(each, ["input", str(index)])
    platform = context.platform
    targets = [
        platform.staging.open(
            context.shop.number,
            filename=each["filename"],
            content_type=each["mimeType"],
            method=each["httpMethod"] or "PUT",
            file_size=None if each.get("fileSize") is None else int(each["fileSize"]),
            expires_at=int(platform.clock()) + platform.upload_lifetime,
        )
        for each in wanted
    ]
    return {"stagedTargets": [_target_view(context, target) for target in targets]}


def _check_staged(each: Arguments, at: list[str]) -> None:
    if each["resource"] != "IMAGE":
        raise Refusal("INVALID", [*at, "resource"], "Stand-in: only IMAGE can be staged")
    if not is_filename(each["filename"]):
        raise Refusal("INVALID", [*at, "filename"], "Filename is invalid")
    if not each["mimeType"].startswith("image/"):
        raise Refusal(
            "INVALID", [*at, "mimeType"], f"({each['mimeType']}) is not a valid MIME type"
        )
    size = each.get("fileSize")
    if size is not None and not 0 < int(size) <= MAX_FILE_SIZE:
        raise Refusal("INVALID", [*at, "fileSize"], "File size is not valid")


def _target_view(context: GraphQlContext, target: Target) -> View:
    staging = context.platform.staging
    parameters = staging.parameters(target)
    return {
        "url": staging.url(target),
        "resourceUrl": target.resource_url,
        "parameters": [{"name": name, "value": value} for name, value in parameters.items()],
    }


# Creating


def _create(context: GraphQlContext, arguments: Arguments) -> View:
    library, number = context.catalogue.library, context.shop.number
    taken = [_checked_file(context, each, index) for index, each in enumerate(arguments["files"])]
    made: list[Media] = []
    for (picture, source, old), each in zip(taken, arguments["files"], strict=True):
        now = context.platform.now()
        if old is not None:
            made.append(library.reload(old, picture, source, now))
        else:
            made.append(
                library.add(
                    number, picture, now, alt=each.get("alt"), status="UPLOADED", source=source
                )
            )
    return {"files": [media_view(media) for media in made]}


def _checked_file(
    context: GraphQlContext, each: Arguments, index: int
) -> tuple[ImageContent, str | None, Media | None]:
    """The picture and source of one entry, and the file whose place it takes."""
    at = ["files", str(index)]
    if each.get("contentType") not in (None, "IMAGE"):
        raise Refusal("INVALID", [*at, "contentType"], "Stand-in: only images can be created")
    picture, source = initial_content(
        context, each["originalSource"], each.get("alt"), each.get("filename"), at
    )
    mode = each["duplicateResolutionMode"] or "APPEND_UUID"
    if mode == "REPLACE" and not each.get("filename"):
        raise Refusal(
            "MISSING_FILENAME_FOR_DUPLICATE_MODE_REPLACE",
            [*at, "filename"],
            "Duplicate resolution mode REPLACE cannot be used without specifying filename",
        )
    old = context.catalogue.library.named(context.shop.number, picture.filename)
    if mode == "RAISE_ERROR" and old is not None:
        raise Refusal(
            "FILENAME_ALREADY_EXISTS", [*at, "filename"], "The provided filename already exists"
        )
    return picture, source, old if mode == "REPLACE" else None


# Changing


def _update(context: GraphQlContext, arguments: Arguments) -> View:
    wanted = [(_changeable(context, each, i), each) for i, each in enumerate(arguments["files"])]
    galleries = _galleries(context, wanted)
    for media, each in wanted:
        if each.get("alt") is not None and each["alt"] != media.alt:
            now = context.platform.now()
            context.catalogue.library.put(replace(media, alt=each["alt"], updated_at=now))
            for shown in context.catalogue.showing(media):
                galleries.setdefault(shown.id, shown)
    for product in galleries.values():
        context.changed(product)
    found = [context.catalogue.library.get(media.id) for media, _ in wanted]
    return {"files": [media_view(media) for media in found if media is not None]}


def _changeable(context: GraphQlContext, each: Arguments, index: int) -> Media:
    """The file of one entry. Raises Refusal when it cannot be changed now, or not so."""
    at = ["files", str(index)]
    media = context.catalogue.media(context.shop.number, each["id"])
    if media is None:
        raise _no_such_file(each["id"], [*at, "id"])
    if media.status == "FAILED":
        raise Refusal(
            "INVALID_FAILED_MEDIA_STATE", [*at, "id"], "File cannot be updated in a failed state."
        )
    if media.is_under_way:
        raise Refusal("NON_READY_STATE", [*at, "id"], "Non-ready files cannot be updated.")
    check_alt(each.get("alt"), [*at, "alt"])
    return media


def _galleries(
    context: GraphQlContext, wanted: list[tuple[Media, Arguments]]
) -> dict[int, ProductRecord]:
    """The products whose galleries change, as they will be. Raises Refusal."""
    galleries: dict[int, ProductRecord] = {}
    for index, (media, each) in enumerate(wanted):
        for name in ("referencesToAdd", "referencesToRemove"):
            for gid in each.get(name) or []:
                at = ["files", str(index), name]
                product = _referenced(context, gid, at)
                product = galleries.get(product.id, product)
                has = any(shown.id == media.id for shown in product.media)
                if name == "referencesToAdd" and not has:
                    galleries[product.id] = _shown(product, media, at)
                elif name == "referencesToRemove" and has:
                    galleries[product.id] = without_files(product, {media.id})
    return galleries


def _shown(product: ProductRecord, media: Media, at: list[str]) -> ProductRecord:
    if len(product.media) >= MAX_MEDIA:
        raise Refusal(
            "PRODUCT_MEDIA_LIMIT_EXCEEDED", at, "Exceeded the limit of media per product."
        )
    return replace(product, media=(*product.media, media))


def _referenced(context: GraphQlContext, gid: str, at: list[str]) -> ProductRecord:
    if kind_of(gid) != "Product":
        raise Refusal("UNSUPPORTED_FILE_REFERENCE", at, "The file reference is not supported.")
    product = context.product(gid)
    if product is None:
        raise Refusal("REFERENCE_TARGET_DOES_NOT_EXIST", at, "The reference target does not exist.")
    return product


def _no_such_file(gid: str, at: list[str]) -> Refusal:
    return Refusal("FILE_DOES_NOT_EXIST", at, f"File id {gid} does not exist.")


# Deleting


def _delete(context: GraphQlContext, arguments: Arguments) -> View:
    gids = arguments["fileIds"]
    found = [context.catalogue.media(context.shop.number, gid) for gid in gids]
    missing = [gid for gid, media in zip(gids, found, strict=True) if media is None]
    if missing:
        raise _no_such_file(missing[0], ["fileIds"])
    for media in found:
        if media is not None:
            for product in context.catalogue.delete_media(media, context.platform.now()):
                context.changed(product)
    return {"deletedFileIds": gids}
