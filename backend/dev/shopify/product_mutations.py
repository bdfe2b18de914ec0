"""The mutations of products: appending media, their order, and what the variants show.

All or nothing: the first problem that is found refuses the whole call.
"""

from dataclasses import replace
from functools import partial

from backend.dev.shopify.caller import Asked, Caller, Resolver, kind_of, number_of
from backend.dev.shopify.file_mutations import MAX_MEDIA
from backend.dev.shopify.intake import take_in
from backend.dev.shopify.media import Media
from backend.dev.shopify.products import Product, Variant
from backend.dev.shopify.refusals import Refusal
from backend.dev.shopify.state import Work
from backend.dev.shopify.views import View, product_view, variant_view

MAX_PAIRS = 100  # of variant and media, in one call


def product_mutations(caller: Caller) -> dict[str, Resolver]:
    """A resolver for each mutation of products."""
    nothing = {"product": None, "productVariants": None}
    return {
        "productUpdate": caller.mutation(
            "productUpdate", lambda asked: _update(caller, asked), product=None
        ),
        "productReorderMedia": caller.mutation(
            "productReorderMedia", lambda asked: _reorder(caller, asked), job=None
        ),
        "productVariantAppendMedia": caller.mutation(
            "productVariantAppendMedia", lambda asked: _append(caller, asked), **nothing
        ),
        "productVariantDetachMedia": caller.mutation(
            "productVariantDetachMedia", lambda asked: _detach(caller, asked), **nothing
        ),
    }


# The product itself, and media appended to it


def _update(caller: Caller, asked: Asked) -> View:
    wanted = asked.get("product") or {}
    product = _existing(caller, wanted.get("id"), ["id"])
    if "title" in wanted and not (wanted["title"] or "").strip():
        raise Refusal("BLANK", ["title"], "Title can't be blank")
    changes = {name: wanted[name] for name in ("title", "status") if wanted.get(name) is not None}
    appended = _taken_in(caller, product, asked.get("media") or [])
    product = replace(product, **changes, media=(*product.media, *appended))
    return {"product": product_view(caller, caller.changed(product))}


def _taken_in(caller: Caller, product: Product, wanted: list[Asked]) -> list[Media]:
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
        taken.append((take_in(caller, each["originalSource"], each.get("alt"), None, at), each))
    now = caller.platform.now()
    return [
        caller.catalogue.library.add(
            caller.shop.number, picture, now, alt=each.get("alt"), status="UPLOADED", source=source
        )
        for (picture, source), each in taken
    ]


# Order


def _reorder(caller: Caller, asked: Asked) -> View:
    product = _existing(caller, asked["id"], ["id"])
    moves = [
        (_of_gallery(product, move["id"], ["moves", str(index), "id"]), int(move["newPosition"]))
        for index, move in enumerate(asked["moves"])
    ]
    gid = f"gid://shopify/Job/{next(caller.platform.work_numbers)}"
    finish = partial(_moved, caller, product.id, [(media.id, to) for media, to in moves])
    caller.shop.work.append(Work(gid=gid, finish=finish))
    return {"job": {"id": gid, "done": False}}


def _moved(caller: Caller, product_id: int, moves: list[tuple[int, int]]) -> None:
    """Make the moves one after the other, with the gallery as it is when the job runs."""
    product = caller.catalogue.product(caller.shop.number, product_id)
    if product is None:
        return
    gallery = list(product.media)
    for media_id, position in moves:
        moved = next((media for media in gallery if media.id == media_id), None)
        if moved is not None:
            gallery.remove(moved)
            gallery.insert(position, moved)
    if tuple(gallery) != product.media:
        caller.changed(replace(product, media=tuple(gallery)))


# Variants


def _append(caller: Caller, asked: Asked) -> View:
    product, pairs = _pairs(caller, asked)
    for variant, media, at in pairs:
        if not media.status == "READY":
            raise Refusal("NON_READY_MEDIA", at, "Non-ready media are not supported.")
        if variant.media_id is not None:
            raise Refusal(
                "PRODUCT_VARIANT_ALREADY_HAS_MEDIA",
                at,
                "Product variant already has attached media.",
            )
    return _linked(caller, product, {variant.id: media.id for variant, media, _ in pairs})


def _detach(caller: Caller, asked: Asked) -> View:
    product, pairs = _pairs(caller, asked)
    for variant, media, at in pairs:
        if variant.media_id != media.id:
            raise Refusal(
                "MEDIA_IS_NOT_ATTACHED_TO_VARIANT",
                at,
                "The specified media is not attached to the specified variant.",
            )
    return _linked(caller, product, {variant.id: None for variant, _, _ in pairs})


def _pairs(caller: Caller, asked: Asked) -> tuple[Product, list[tuple[Variant, Media, list[str]]]]:
    """The product, and each variant with the one picture that is named for it."""
    product = _existing(caller, asked["productId"], ["productId"])
    wanted = asked["variantMedia"]
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


def _linked(caller: Caller, product: Product, links: dict[int, int | None]) -> View:
    variants = tuple(
        replace(variant, media_id=links[variant.id]) if variant.id in links else variant
        for variant in product.variants
    )
    changed = caller.changed(replace(product, variants=variants))
    touched = [variant for variant in changed.variants if variant.id in links]
    return {
        "product": product_view(caller, changed),
        "productVariants": [variant_view(caller, changed, variant) for variant in touched],
    }


# What is named must be there


def _existing(caller: Caller, gid: str | None, at: list[str]) -> Product:
    product = caller.product(gid) if gid is not None else None
    if product is None:
        raise Refusal("PRODUCT_DOES_NOT_EXIST", at, "Product does not exist")
    return product


def _of_gallery(product: Product, gid: str, at: list[str]) -> Media:
    found = next((media for media in product.media if media.gid == gid), None)
    if found is None:
        raise Refusal(
            "MEDIA_DOES_NOT_EXIST_ON_PRODUCT", at, "Media does not exist on the given product."
        )
    return found


def _of_product(product: Product, gid: str, at: list[str]) -> Variant:
    number = number_of(gid, "ProductVariant") if kind_of(gid) == "ProductVariant" else None
    found = next((variant for variant in product.variants if variant.id == number), None)
    if found is None:
        raise Refusal(
            "PRODUCT_VARIANT_DOES_NOT_EXIST_ON_PRODUCT",
            at,
            "Variant does not exist on the given product.",
        )
    return found
