"""Every GraphQL document we send to Shopify's Admin API, for API version 2026-10."""

API_VERSION = "2026-10"

PRODUCT = """
query ProductForJob($id: ID!) {
  product(id: $id) {
    id
    title
    status
    updatedAt
    featuredMedia {
      ... on MediaImage { id image { url width height } }
    }
  }
}
"""

INSTALLATION = """
query Installation {
  shop { id myshopifyDomain }
  currentAppInstallation { accessScopes { handle } }
}
"""
