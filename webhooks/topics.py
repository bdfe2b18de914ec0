"""The topics we act on; `shopify.app.toml` subscribes to exactly these.

What is done about each is in `webhooks.handlers`, which only a worker loads.
"""

# Required by law within 30 days. Shopify has its 200 and never sends them again.
COMPLIANCE_TOPICS = frozenset({"customers/data_request", "customers/redact", "shop/redact"})
# Retried until they succeed: if an `app/uninstalled` is missed, the account stays open.
NEVER_GIVEN_UP = COMPLIANCE_TOPICS | {"app/uninstalled"}
BILLING_TOPICS = frozenset({"app_subscriptions/update", "app_purchases_one_time/update"})
TOPICS = (
    NEVER_GIVEN_UP | BILLING_TOPICS | {"products/create", "products/update", "app/scopes_update"}
)
