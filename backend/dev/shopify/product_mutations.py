"""The mutations of products: appending media, their order, and what the variants show.

All or nothing: the first problem that is found refuses the whole call.
"""

from dataclasses import replace
from functools import partial

from backend.dev.shopify.connections import Resolver
from backend.dev.shopify.file_mutations import MAX_MEDIA
from backend.dev.shopify.graphql_context import (
    Arguments,
    GraphQlContext,
    kind_of,
    number_of,
)
from backend.dev.shopify.intake import initial_content
from backend.dev.shopify.media import Media
from backend.dev.shopify.products import ProductRecord, Variant
from backend.dev.shopify.refusals import Refusal
from backend.dev.shopify.state import AsyncOperation
from backend.dev.shopify.views import View, product_view, variant_view

MAX_PAIRS = 100  # of variant and media, in one call


def product_mutations(context: GraphQlContext) -> dict[str, Resolver]:
    """A resolver for each mutation of products."""
    nothing = {"product": None, "productVariants": None}
    return {
        "productUpdate": context.mutation(
            "productUpdate", lambda arguments: _update(context, arguments), product=None
        ),
        "productReorderMedia": context.mutation(
            "productReorderMedia", lambda arguments: _reorder(context, arguments), job=None
        ),
        "productVariantAppendMedia": context.mutation(
            "productVariantAppendMedia", lambda arguments: _append(context, arguments), **nothing
        ),
        "productVariantDetachMedia": context.mutation(
            "productVariantDetachMedia", lambda arguments: _detach(context, arguments), **nothing
        ),
    }


# The product itself, and media appended to it


def _update(context: GraphQlContext, arguments: Arguments) -> View:
    wanted = arguments.get("product") or {}
    product = _existing(context, wanted.get("id"), ["id"])
    if "title" in wanted and not (wanted["title"] or "").strip():
        raise Refusal("BLANK", ["title"], "Title can't be blank")
    changes = {name: wanted[name] for name in ("title", "status") if wanted.get(name) is not None}
    appended = _taken_in(context, product, arguments.get("media") or [])
    product = replace(product, **changes, media=(*product.media, *appended))
    return {"product": product_view(context, context.changed(product))}


def _taken_in(
    context: GraphQlContext, product: ProductRecord, wanted: list[Arguments]
) -> list[Media]:
    """New files of these sources. Raises Refusal before any is made."""
    if len(product.media) + len(wanted) > MAX_MEDIA:
        raise Refusal(
            "PRODUCT_MEDIA_LIMIT_EXCEEDED", ["media"], "Exceeded the limit of media per product."
        )
    taken = []
    for index, each in enumerate(wanted):
        at = ["media", str(index)]
        if each["mediaContentType"] != "IMAGE":
            raise Refusal("INVALID_MEDIA_TYPE", at, "Stand-in: only images can be created")
        taken.append(
            (initial_content(context, each["originalSource"], each.get("alt"), None, at), each)
        )
    now = context.platform.now()
    return [
        context.catalogue.library.add(
            context.shop.number, picture, now, alt=each.get("alt"), status="UPLOADED", source=source
        )
        for (picture, source), each in taken
    ]


# Order


def _reorder(context: GraphQlContext, arguments: Arguments) -> View:
    product = _existing(context, arguments["id"], ["id"])
    moves = [
        (_of_gallery(product, move["id"], ["moves", str(index), "id"]), int(move["newPosition"]))
        for index, move in enumerate(arguments["moves"])
    ]
    gid = f"gid://shopify/Job/{next(context.platform.work_numbers)}"
    finish = partial(_moved, context, product.id, [(media.id, to) for media, to in moves])
    context.shop.work.append(AsyncOperation(gid=gid, finish=finish))
    return {"job": {"id": gid, "done": False}}


def _moved(context: GraphQlContext, product_id: int, moves: list[tuple[int, int]]) -> None:
    """Make the moves one after the other, with the gallery as it is when the job runs."""
    product = context.catalogue.product(context.shop.number, product_id)
    if product is None:
        return
    gallery = list(product.media)
    for media_id, position in moves:
        moved = next((media for media in gallery if media.id == media_id), None)
        if moved is not None:
            gallery.remove(moved)
            gallery.insert(position, moved)
    if tuple(gallery) != product.media:
        context.changed(replace(product, media=tuple(gallery)))


# Variants


def _append(context: GraphQlContext, arguments: Arguments) -> View:
    product, pairs = _pairs(context, arguments)
    for variant, media, at in pairs:
        if not media.status == "READY":
            raise Refusal("NON_READY_MEDIA", at, "Non-ready media are not supported.")
        if variant.media_id is not None:
            raise Refusal(
                "PRODUCT_VARIANT_ALREADY_HAS_MEDIA",
                at,
                "Product variant already has attached media.",
            )
    return _linked(context, product, {variant.id: media.id for variant, media, _ in pairs})


def _detach(context: GraphQlContext, arguments: Arguments) -> View:
    product, pairs = _pairs(context, arguments)
    for variant, media, at in pairs:
        if variant.media_id != media.id:
            raise Refusal(
                "MEDIA_IS_NOT_ATTACHED_TO_VARIANT",
                at,
                "The specified media is not attached to the specified variant.",
            )
    return _linked(context, product, {variant.id: None for variant, _, _ in pairs})


def _pairs(
    context: GraphQlContext, arguments: Arguments
) -> tuple[ProductRecord, list[tuple[Variant, Media, list[str]]]]:
    """The product, and each variant with the one picture that is named for it."""
    product = _existing(context, arguments["productId"], ["productId"])
    wanted = arguments["variantMedia"]
    if sum(len(each["mediaIds"]) for each in wanted) > MAX_PAIRS:
        raise Refusal(
            "MAXIMUM_VARIANT_MEDIA_PAIRS_EXCEEDED",
            ["variantMedia"],
            f"Exceeded the maximum number of {MAX_PAIRS} variant-media pairs per mutation call.",
        )
    pairs = []
    for index, each in enumerate(wanted):
        at = ["variantMedia", str(index)]
        if len(each["mediaIds"]) != 1:
            raise Refusal(
                "TOO_MANY_MEDIA_PER_INPUT_PAIR", [*at, "mediaIds"], "Only one mediaId is allowed."
            )
        variant = _of_product(product, each["variantId"], [*at, "variantId"])
        pairs.append((variant, _of_gallery(product, each["mediaIds"][0], [*at, "mediaIds"]), at))
    if len({variant.id for variant, _, _ in pairs}) < len(pairs):
        raise Refusal(
            "PRODUCT_VARIANT_SPECIFIED_MULTIPLE_TIMES",
            ["variantMedia"],
            "Variant specified in more than one pair.",
        )
    return product, pairs


def _linked(context: GraphQlContext, product: ProductRecord, links: dict[int, int | None]) -> View:
    variants = tuple(
        replace(variant, media_id=links[variant.id]) if variant.id in links else variant
        for variant in product.variants
    )
    changed = context.changed(replace(product, variants=variants))
    touched = [variant for variant in changed.variants if variant.id in links]
    return {
        "product": product_view(context, changed),
        "productVariants": [variant_view(context, changed, variant) for variant in touched],
    }


# What is named must be there


def _existing(context: GraphQlContext, gid: str | None, at: list[str]) -> ProductRecord:
    product = context.product(gid) if gid is not None else None
    if product is None:
        raise Refusal("PRODUCT_DOES_NOT_EXIST", at, "Product does not exist")
    return product


def _of_gallery(product: ProductRecord, gid: str, at: list[str]) -> Media:
    found = next((media for media in product.media if media.gid == gid), None)
    if found is None:
        raise Refusal(
            "MEDIA_DOES_NOT_EXIST_ON_PRODUCT", at, "Media does not exist on the given product."
        )
    return found


def _of_product(product: ProductRecord, gid: str, at: list[str]) -> Variant:
    number = number_of(gid, "ProductVariant") if kind_of(gid) == "ProductVariant" else None
    found = next((variant for variant in product.variants if variant.id == number), None)
    if found is None:
        raise Refusal(
            "PRODUCT_VARIANT_DOES_NOT_EXIST_ON_PRODUCT",
            at,
            "Variant does not exist on the given product.",
        )
    return found
