"""A stand-in for Shopify on this machine: Admin API, OAuth, image CDN, webhooks, merchant."""

from backend.dev.shopify.deliveries import Delivery, StormAnswer
from backend.dev.shopify.media import Media
from backend.dev.shopify.products import Collection, Product, Variant
from backend.dev.shopify.stand_in import StandInShopify
from backend.dev.shopify.state import Call, Shop

__all__ = [
    "Call",
    "Collection",
    "Delivery",
    "Media",
    "Product",
    "Shop",
    "StandInShopify",
    "StormAnswer",
    "Variant",
]
