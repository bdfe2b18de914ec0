"""What an error means for a publication: which failure of `backend.failures` it is.

A retryable failure is tried again for a while before it counts.
"""

from backend.errors import ShopifyUnavailable, StorageUnavailable
from backend.failures.codes import (
    ALT_TOO_LONG,
    IMAGE_REFUSED_BY_SHOPIFY,
    MEDIA_LIMIT_REACHED,
    MEDIA_SCOPE_MISSING,
    PRODUCT_NOT_FOUND,
    PUBLICATION_REFUSED,
    SHOPIFY_UNAVAILABLE,
    STORAGE_UNAVAILABLE,
)
from backend.failures.registry import Failed, Failure
from backend.shops.admin_api import ShopifyRefused
from backend.shops.media_api import MutationRefused

MEANINGS: dict[str, Failure] = {
    "REFERENCE_TARGET_DOES_NOT_EXIST": PRODUCT_NOT_FOUND,
    "PRODUCT_DOES_NOT_EXIST": PRODUCT_NOT_FOUND,
    "PRODUCT_MEDIA_LIMIT_EXCEEDED": MEDIA_LIMIT_REACHED,
    "SHOP_MEDIA_LIMIT_EXCEEDED": MEDIA_LIMIT_REACHED,
    "ALT_VALUE_LIMIT_EXCEEDED": ALT_TOO_LONG,
}
# Shopify is busy with the file, or the gallery changed at the same time: look again.
PASSING = frozenset(
    {
        "FILE_LOCKED",
        "FILENAME_ALREADY_EXISTS",
        "MEDIA_CANNOT_BE_MODIFIED",
        "MEDIA_DOES_NOT_EXIST_ON_PRODUCT",
        "MEDIA_IS_NOT_ATTACHED_TO_VARIANT",
        "NON_READY_MEDIA",
        "NON_READY_STATE",
        "PRODUCT_VARIANT_ALREADY_HAS_MEDIA",
        "PRODUCT_VARIANT_DOES_NOT_EXIST_ON_PRODUCT",
    }
)


class PublicationFailed(Failed):
    """The publication cannot go on."""


# What `publication_failure_of` knows.
EXPECTED_PUBLICATION_ERRORS = (
    PublicationFailed,
    MutationRefused,
    ShopifyRefused,
    ShopifyUnavailable,
    StorageUnavailable,
)


def publication_failure_of(error: Exception) -> Failure:
    """What an error means for the publication."""
    match error:
        case PublicationFailed():
            return error.failure
        case MutationRefused():
            return of_mutation(error)
        case ShopifyRefused():
            return MEDIA_SCOPE_MISSING if error.is_denied else PUBLICATION_REFUSED
        case StorageUnavailable():
            return STORAGE_UNAVAILABLE
        case _:
            return SHOPIFY_UNAVAILABLE


def of_mutation(error: MutationRefused) -> Failure:
    """What it means that Shopify refused a mutation."""
    if error.code in PASSING:
        return SHOPIFY_UNAVAILABLE
    return MEANINGS.get(error.code) or refused_by_shopify(error.code or error.message)


def refused_by_shopify(reason: str) -> Failure:
    """Shopify refused this image; its own code says why."""
    return IMAGE_REFUSED_BY_SHOPIFY.with_message(f"Shopify refused the image: {reason[:200]}.")
