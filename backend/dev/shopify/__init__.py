"""A stand-in for Shopify on this machine: Admin API, OAuth, image CDN, webhooks, merchant."""

from backend.dev.shopify.catalogue import Media, Product
from backend.dev.shopify.stand_in import StandInShopify
from backend.dev.shopify.state import Call, Shop

__all__ = ["Call", "Media", "Product", "Shop", "StandInShopify"]
