"""Who asked for a job, as the job keeps it: for its lineage, never for a decision on access."""

from typing import Any, Literal

import msgspec

from backend.auth.merchant import Merchant


class AskedBy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who asked for a job.

    - `staff`: a member of the shop's staff, by the user ID in the session token.
    - `signed_request`: a server of the app's operator.
    - `batch`: a batch, and the member of staff who created it, if it was one.
    - `rule`: a rule of the shop by its position in the settings from 0, and why it ran. `topic` and
      `webhook_id` name the webhook; both are null if the product was found without one.
    - `storefront`: a visitor of the shop's storefront.
    """

    kind: Literal["staff", "signed_request", "batch", "rule", "storefront"]
    user_id: str | None = None
    batch_id: str | None = None
    rule: int | None = None
    trigger: Literal["product_created", "image_changed"] | None = None
    topic: str | None = None
    webhook_id: str | None = None


def asked_by_merchant(merchant: Merchant) -> AskedBy:
    """The caller of a request to `/v1`."""
    if merchant.user_id is None:
        return AskedBy(kind="signed_request")
    return AskedBy(kind="staff", user_id=merchant.user_id)


def stored_asked_by(asked_by: AskedBy | None) -> dict[str, Any] | None:
    """As the column has it."""
    return None if asked_by is None else msgspec.to_builtins(asked_by)
