"""Validates shop domains: exactly `<label>.myshopify.com`.

Every verifier in this package uses it, because the shop's domain is the tenant key and also
the host that access tokens are sent to. It checks the syntax only: whether the shop has the
app installed is stored in the database.

Source: shopify.dev, "Authorization code grant", step "Security checks". Shopify's pattern ends in
`$`, which would let a trailing newline through; ours must match in full. A label of 63
characters is the limit of DNS (RFC 1035 §2.3.4).
"""

import re

_SHOP_DOMAIN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\.myshopify\.com")


def is_shop_domain(value: object) -> bool:
    """Whether `value` is a shop's canonical (lower-case, bare) domain. Never raises."""
    return isinstance(value, str) and _SHOP_DOMAIN.fullmatch(value) is not None


def normalized_shop_domain(value: str) -> str | None:
    """The canonical form of a domain that a person typed, or None if it is not a shop's.

    Only the case may differ: a scheme, a path or white space is refused.
    """
    # Lower-casing maps some letters beyond ASCII into it (U+212A, the Kelvin sign, becomes
    # "k"), which would turn a look-alike into the real name.
    domain = value.lower() if value.isascii() else ""
    return domain if is_shop_domain(domain) else None
