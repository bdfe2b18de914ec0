"""Handlers of deliveries. They run in the worker, may run twice, and must be idempotent."""

from collections.abc import Awaitable, Callable, Mapping

from webhooks.handlers.app import app_scopes_updated, app_uninstalled
from webhooks.handlers.billing import one_time_purchase_updated, subscription_updated
from webhooks.handlers.compliance import customer_data_requested, customer_redacted, shop_redacted
from webhooks.handlers.products import product_changed
from webhooks.outcome import HandlerContext, Outcome
from webhooks.payloads import UnsettledDelivery

Handler = Callable[[UnsettledDelivery, HandlerContext], Awaitable[Outcome]]

# Of each of `webhooks.topics.TOPICS`.
HANDLERS: Mapping[str, Handler] = {
    "products/create": product_changed,
    "products/update": product_changed,
    "app/uninstalled": app_uninstalled,
    "app/scopes_update": app_scopes_updated,
    "app_subscriptions/update": subscription_updated,
    "app_purchases_one_time/update": one_time_purchase_updated,
    "customers/data_request": customer_data_requested,
    "customers/redact": customer_redacted,
    "shop/redact": shop_redacted,
}
