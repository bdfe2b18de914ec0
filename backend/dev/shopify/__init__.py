"""A stand-in for Shopify on this machine: Admin API, OAuth, image CDN, webhooks, merchant."""

from backend.dev.shopify.deliveries import OutgoingWebhook, StormAnswer
from backend.dev.shopify.media import Media
from backend.dev.shopify.products import Collection, ProductRecord, Variant
from backend.dev.shopify.stand_in import StandInShopify
from backend.dev.shopify.state import Call, ShopRecord

__all__ = [
    "Call",
    "Collection",
    "Media",
    "OutgoingWebhook",
    "ProductRecord",
    "ShopRecord",
    "StandInShopify",
    "StormAnswer",
    "Variant",
]
