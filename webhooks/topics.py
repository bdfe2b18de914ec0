"""The handler of each topic. `shopify.app.toml` subscribes to exactly these topics."""

from collections.abc import Awaitable, Callable, Mapping

from webhooks.handlers.app import app_scopes_updated, app_uninstalled
from webhooks.handlers.compliance import customer_data_requested, customer_redacted, shop_redacted
from webhooks.handlers.products import product_changed
from webhooks.outcome import HandlerContext, Outcome
from webhooks.payloads import UnsettledDelivery

Handler = Callable[[UnsettledDelivery, HandlerContext], Awaitable[Outcome]]

HANDLERS: Mapping[str, Handler] = {
    "products/create": product_changed,
    "products/update": product_changed,
    "app/uninstalled": app_uninstalled,
    "app/scopes_update": app_scopes_updated,
    "customers/data_request": customer_data_requested,
    "customers/redact": customer_redacted,
    "shop/redact": shop_redacted,
}

# Required by law within 30 days. Shopify has its 200 and never sends them again.
COMPLIANCE_TOPICS = frozenset({"customers/data_request", "customers/redact", "shop/redact"})
# Retried until they succeed: if an `app/uninstalled` is missed, the account stays open.
NEVER_GIVEN_UP = COMPLIANCE_TOPICS | {"app/uninstalled"}
