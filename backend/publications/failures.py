"""Why a publication fails, in codes of ours that never change once released.

What Shopify itself says is in the message. A retryable failure is tried again for a while before
it counts.
"""

from backend.errors import ScopeMissing, ShopifyUnavailable, StorageUnavailable
from backend.jobs.states import Failure
from backend.shops.admin_api import ShopifyRefused
from backend.shops.media_api import MutationRefused

PRODUCT_NOT_FOUND = Failure(
    code="PRODUCT_NOT_FOUND", message="The shop has no such product, or has deleted it."
)
MEDIA_LIMIT_REACHED = Failure(
    code="MEDIA_LIMIT_REACHED", message="The product cannot take that many more media."
)
ALT_TOO_LONG = Failure(code="ALT_TOO_LONG", message="Shopify finds an alt text too long.")
SCOPE_MISSING = Failure(code="SCOPE_MISSING", message=ScopeMissing.message)
SHOPIFY_UNAVAILABLE = Failure(
    code="SHOPIFY_UNAVAILABLE",
    message="Shopify did not answer for too long. Try again later.",
    retryable=True,
)
SHOPIFY_REFUSED = Failure(
    code="SHOPIFY_REFUSED", message="Shopify refuses what we ask of it; the log tells more."
)
STORAGE_UNAVAILABLE = Failure(
    code="STORAGE_UNAVAILABLE",
    message="The picture store did not answer for too long. Try again later.",
    retryable=True,
)
PUBLICATION_CRASHED = Failure(
    code="PUBLICATION_CRASHED", message="The publication could not be finished; ask support."
)
RESTORE_INCOMPLETE = Failure(
    code="RESTORE_INCOMPLETE",
    message="Our media are gone, but the others did not come to be as they were. DELETE again.",
    retryable=True,
)

MEANINGS: dict[str, Failure] = {
    "REFERENCE_TARGET_DOES_NOT_EXIST": PRODUCT_NOT_FOUND,
    "PRODUCT_DOES_NOT_EXIST": PRODUCT_NOT_FOUND,
    "PRODUCT_MEDIA_LIMIT_EXCEEDED": MEDIA_LIMIT_REACHED,
    "SHOP_MEDIA_LIMIT_EXCEEDED": MEDIA_LIMIT_REACHED,
    "ALT_VALUE_LIMIT_EXCEEDED": ALT_TOO_LONG,
}
# Shopify is busy with the file, or the gallery has changed under our hands: look again.
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


class PublicationFailed(Exception):
    """It cannot go on; `failure` tells why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure


# What `failure_of` knows.
EXPECTED = (
    PublicationFailed,
    MutationRefused,
    ShopifyRefused,
    ShopifyUnavailable,
    StorageUnavailable,
)


def failure_of(error: Exception) -> Failure:
    """What an error means for the publication."""
    match error:
        case PublicationFailed():
            return error.failure
        case MutationRefused():
            return of_mutation(error)
        case ShopifyRefused():
            return SCOPE_MISSING if error.is_denied else SHOPIFY_REFUSED
        case StorageUnavailable():
            return STORAGE_UNAVAILABLE
        case _:
            return SHOPIFY_UNAVAILABLE


def of_mutation(error: MutationRefused) -> Failure:
    """What it means that Shopify declines."""
    if error.code in PASSING:
        return SHOPIFY_UNAVAILABLE
    return MEANINGS.get(error.code) or refused_by_shopify(error.code or error.message)


def refused_by_shopify(reason: str) -> Failure:
    """Shopify does not want this picture; its own code says why."""
    return Failure(
        code="IMAGE_REFUSED_BY_SHOPIFY", message=f"Shopify refuses the image: {reason[:200]}."
    )
