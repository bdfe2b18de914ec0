"""Why the expansion of a batch fails, in codes that never change once released."""

from backend.errors import ShopifyUnavailable
from backend.jobs.failures import SCOPE_MISSING
from backend.jobs.states import Failure
from backend.shops.admin_api import ShopifyRefused

MAX_PRODUCTS = 10_000  # of one batch

COLLECTION_NOT_FOUND = Failure(
    code="COLLECTION_NOT_FOUND", message="The shop has no such collection, or has deleted it."
)
COLLECTION_EMPTY = Failure(
    code="COLLECTION_EMPTY", message="The collection has no products. Add some, then retry."
)
BATCH_TOO_LARGE = Failure(
    code="BATCH_TOO_LARGE",
    message=f"The collection has more than {MAX_PRODUCTS:,} products. Make smaller ones.",
)
SHOPIFY_REFUSED = Failure(
    code="SHOPIFY_REFUSED", message="Shopify does not let the app read the collection."
)
SHOPIFY_UNAVAILABLE = Failure(
    code="SHOPIFY_UNAVAILABLE",
    message="Shopify did not answer for too long. Retry the batch later.",
    retryable=True,
)
EXPANSION_CRASHED = Failure(
    code="EXPANSION_CRASHED", message="The batch could not be worked on; ask support."
)


class ExpansionFailed(Exception):
    """It cannot go on; `failure` tells why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure


# What `failure_of` knows.
EXPECTED = (ExpansionFailed, ShopifyRefused, ShopifyUnavailable)


def failure_of(error: Exception) -> Failure:
    """What an error means for the batch."""
    match error:
        case ExpansionFailed():
            return error.failure
        case ShopifyRefused():
            return SCOPE_MISSING if error.is_denied else SHOPIFY_REFUSED
        case _:
            return SHOPIFY_UNAVAILABLE
