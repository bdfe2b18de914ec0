"""The page that merchants open in Shopify's admin."""
