"""The shell: the HTML document on each of the page's addresses, and its headers.

Each is the same for every shop and contains no shop's data, so it needs no credential. Only its
`frame-ancestors` depends on the request: Shopify's admin may frame it, and so may the shop whose
`id_token` the launch has.
"""

from html import escape

import msgspec

from backend.page.files import StaticFiles
from backend.settings import Settings

ENTRY = "main.js"
MENU = (
    ("/", "Review"),
    ("/make", "Make images"),
    ("/jobs", "Jobs"),
    ("/batches", "Batches"),
    ("/gallery", "Gallery"),
    ("/catalog", "Catalog"),
    ("/plan", "Credits"),
    ("/settings", "Settings"),
    ("/webhook-endpoints", "Webhooks"),
)


class ShopifyOrigins(msgspec.Struct, frozen=True, kw_only=True):
    """Where Shopify's admin and its CDN are; a stand-in plays both on one origin of its own."""

    cdn: str = "https://cdn.shopify.com"
    admin: str = "https://admin.shopify.com"

    @property
    def scripts(self) -> tuple[str, str]:
        """App Bridge, which insists on being the first script, and Polaris' web components."""
        folder = f"{self.cdn}/shopifycloud"
        return f"{folder}/app-bridge.js", f"{folder}/polaris-1.js"


SHOPIFY = ShopifyOrigins()


def shell_html(
    settings: Settings, shopify: ShopifyOrigins, files: StaticFiles, screen: str
) -> bytes:
    """The document, which preloads the module `screen`. It says whether images are charged.

    Shopify's two scripts are blocking; ours are modules, so they run after.
    """
    scripts = "\n".join(f'<script src="{escape(url)}"></script>' for url in shopify.scripts)
    preloads = "\n".join(
        f'<link rel="modulepreload" href="{files.base}/{name}">'
        for name in files.modules(ENTRY, screen)
    )
    menu = "".join(
        f'<s-link href="{path}"{" rel=home" if path == "/" else ""}>{label}</s-link>'
        for path, label in MENU
    )
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="shopify-api-key" content="{escape(settings.shopify_api_key)}">
<meta name="atelier-billing" content="{settings.billing}">
<title>Atelier</title>
{scripts}
{preloads}
<s-app-nav>{menu}</s-app-nav>
<div id="page"><s-page heading="Atelier"><s-section>
<s-spinner accessibilityLabel="Loading"></s-spinner>
</s-section></s-page></div>
<noscript>Atelier needs JavaScript.</noscript>
<script type="module" src="{files.base}/{ENTRY}"></script>
</html>
""".encode()


def shell_headers(shopify: ShopifyOrigins, *, pictures: str, shop: str | None) -> dict[str, str]:
    """The headers for a launch that proves `shop`, or none. `pictures` is the bucket's origin."""
    framers = f"https://{shop} {shopify.admin}" if shop else shopify.admin
    return {
        "Cache-Control": "private, no-store",
        "Content-Security-Policy": content_security_policy(shopify, pictures, framers),
        "Link": ", ".join(f"<{url}>; rel=preload; as=script" for url in shopify.scripts),
        # The address has the id_token. `same-origin` would send it with each of our own files.
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def content_security_policy(shopify: ShopifyOrigins, pictures: str, framers: str) -> str:
    """The policy. Inline styles are allowed, because App Bridge writes `<style>` elements."""
    cdn = shopify.cdn
    return "; ".join(
        (
            "default-src 'none'",
            "base-uri 'none'",
            "object-src 'none'",
            "form-action 'self'",
            f"script-src 'self' {cdn}",
            f"style-src 'self' 'unsafe-inline' {cdn}",
            f"font-src {cdn}",
            f"img-src 'self' data: blob: {cdn} {pictures}",
            f"connect-src 'self' {cdn}",
            "frame-src 'self'",
            f"frame-ancestors {framers}",
        )
    )
