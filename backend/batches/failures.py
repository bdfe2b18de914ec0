"""What an error means for a batch: which failure of `backend.failures` it is."""

from backend.errors import ShopifyUnavailable
from backend.failures.codes import COLLECTION_REFUSED, SCOPE_MISSING, SHOPIFY_UNAVAILABLE
from backend.failures.registry import Failed, Failure
from backend.shops.admin_api import ShopifyRefused

MAX_PRODUCTS = 10_000  # of one batch


class ExpansionFailed(Failed):
    """The expansion cannot go on."""


# What `batch_failure_of` knows.
EXPECTED_BATCH_ERRORS = (ExpansionFailed, ShopifyRefused, ShopifyUnavailable)


def batch_failure_of(error: Exception) -> Failure:
    """What an error means for the batch."""
    match error:
        case ExpansionFailed():
            return error.failure
        case ShopifyRefused():
            return SCOPE_MISSING if error.is_denied else COLLECTION_REFUSED
        case _:
            return SHOPIFY_UNAVAILABLE
