"""Every GraphQL document we send to Shopify's Admin API, for API version 2026-10."""

import functools
import re

API_VERSION = "2026-10"
OPERATION = re.compile(r"^(?:query|mutation) (\w+)", re.MULTILINE)

# "Any file type to .webp" is what Shopify's CDN converts, besides JPEG, which has no transparency.
# 5760 pixels is the largest side that it accepts in a transformation.
PHOTO_FRAGMENT = """
fragment Photo on MediaImage {
  id
  status
  mimeType
  image {
    url
    webpUrl: url(transform: {preferredContentType: WEBP, maxWidth: 5760, maxHeight: 5760})
  }
}
"""

PRODUCT_AS_READ = f"""{PHOTO_FRAGMENT}
fragment ProductAsRead on Product {{
  id
  title
  status
  vendor
  productType
  tags
  createdAt
  publishedAt
  updatedAt
  media(first: 3) {{
    nodes {{ ...Photo }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}
"""

PRODUCT = f"""{PRODUCT_AS_READ}
query ProductForJob($id: ID!) {{
  product(id: $id) {{
    ...ProductAsRead
  }}
}}
"""

CHANGED_PRODUCTS = f"""{PRODUCT_AS_READ}
query ChangedProducts($query: String!, $after: String) {{
  products(first: 50, after: $after, sortKey: UPDATED_AT, query: $query) {{
    nodes {{ ...ProductAsRead }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}
"""

# The further media of a product whose first ones are videos and 3D models.
FURTHER_MEDIA = f"""{PHOTO_FRAGMENT}
query FurtherMedia($id: ID!, $after: String) {{
  product(id: $id) {{
    media(first: 50, after: $after) {{
      nodes {{ ...Photo }}
      pageInfo {{ hasNextPage endCursor }}
    }}
  }}
}}
"""

MEDIA_IMAGE = f"""{PHOTO_FRAGMENT}
query MediaImageForJob($id: ID!) {{
  node(id: $id) {{ ...Photo }}
}}
"""

COLLECTION_PRODUCTS = """
query CollectionForBatch($id: ID!, $first: Int!, $after: String) {
  collection(id: $id) {
    productsCount { count }
    products(first: $first, after: $after) {
      nodes {
        id
        media(first: 1) {
          nodes { ... on MediaImage { id } }
          pageInfo { hasNextPage endCursor }
        }
      }
      pageInfo { hasNextPage endCursor }
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

# Publishing

PRODUCT_MEDIA = """
query ProductMedia($id: ID!, $after: String) {
  product(id: $id) {
    media(first: 100, after: $after) {
      nodes { id alt status }
      pageInfo { hasNextPage endCursor }
    }
  }
}
"""

SHOWN_PRODUCT = """
query ShownProduct($id: ID!, $after: String) {
  product(id: $id) {
    id
    title
    handle
    media(first: 100, after: $after) {
      nodes { id alt mediaContentType preview { image { url } } }
      pageInfo { hasNextPage endCursor }
    }
  }
}
"""

PRODUCT_VARIANTS = """
query ProductVariants($id: ID!, $after: String) {
  product(id: $id) {
    variants(first: 100, after: $after) {
      nodes { id media(first: 1) { nodes { id } } }
      pageInfo { hasNextPage endCursor }
    }
  }
}
"""

STAGE_UPLOAD = """
mutation StageUpload($input: [StagedUploadInput!]!) {
  stagedUploadsCreate(input: $input) {
    stagedTargets { url resourceUrl parameters { name value } }
    userErrors { field message }
  }
}
"""

CREATE_FILE = """
mutation CreateFile($files: [FileCreateInput!]!) {
  fileCreate(files: $files) {
    files { ... on MediaImage { id fileStatus } }
    userErrors { code field message }
  }
}
"""

FIND_FILE = """
query FindFile($query: String!, $after: String) {
  files(first: 10, after: $after, query: $query) {
    nodes { ... on MediaImage { id fileStatus fileErrors { code } image { url } } }
    pageInfo { hasNextPage endCursor }
  }
}
"""

FILE = """
query File($id: ID!) {
  node(id: $id) { ... on MediaImage { id fileStatus fileErrors { code } image { url } } }
}
"""

UPDATE_FILES = """
mutation UpdateFiles($files: [FileUpdateInput!]!) {
  fileUpdate(files: $files) {
    files { ... on MediaImage { id } }
    userErrors { code field message }
  }
}
"""

DELETE_FILES = """
mutation DeleteFiles($ids: [ID!]!) {
  fileDelete(fileIds: $ids) {
    deletedFileIds
    userErrors { code field message }
  }
}
"""

REORDER_MEDIA = """
mutation ReorderMedia($id: ID!, $moves: [MoveInput!]!) {
  productReorderMedia(id: $id, moves: $moves) {
    job { id }
    mediaUserErrors { code field message }
  }
}
"""

SHOPIFY_JOB = """
query JobOfShopify($id: ID!) {
  job(id: $id) { done }
}
"""

DETACH_VARIANT_MEDIA = """
mutation DetachVariantMedia($id: ID!, $pairs: [ProductVariantDetachMediaInput!]!) {
  productVariantDetachMedia(productId: $id, variantMedia: $pairs) {
    userErrors { code field message }
  }
}
"""

APPEND_VARIANT_MEDIA = """
mutation AppendVariantMedia($id: ID!, $pairs: [ProductVariantAppendMediaInput!]!) {
  productVariantAppendMedia(productId: $id, variantMedia: $pairs) {
    userErrors { code field message }
  }
}
"""

# Billing

# `activeSubscriptions` is the state; the others only tell how our latest requests ended.
BILLING = """
fragment Subscribed on AppSubscription {
  id
  name
  status
  test
  trialDays
  createdAt
  currentPeriodEnd
  lineItems {
    plan {
      pricingDetails { ... on AppRecurringPricing { interval price { amount currencyCode } } }
    }
  }
}
query Billing {
  currentAppInstallation {
    activeSubscriptions { ...Subscribed }
    allSubscriptions(first: 20, reverse: true) { nodes { ...Subscribed } }
    oneTimePurchases(first: 50, reverse: true) {
      nodes { id name status test createdAt price { amount currencyCode } }
    }
  }
}
"""

CREATE_SUBSCRIPTION = """
mutation CreateSubscription(
  $name: String!, $lineItems: [AppSubscriptionLineItemInput!]!, $returnUrl: URL!,
  $trialDays: Int, $test: Boolean
) {
  appSubscriptionCreate(
    name: $name, lineItems: $lineItems, returnUrl: $returnUrl, trialDays: $trialDays, test: $test
  ) {
    appSubscription { id }
    confirmationUrl
    userErrors { field message }
  }
}
"""

CREATE_PURCHASE = """
mutation CreatePurchase($name: String!, $price: MoneyInput!, $returnUrl: URL!, $test: Boolean) {
  appPurchaseOneTimeCreate(name: $name, price: $price, returnUrl: $returnUrl, test: $test) {
    appPurchaseOneTime { id }
    confirmationUrl
    userErrors { field message }
  }
}
"""


@functools.cache
def operation_of(document: str) -> str:
    """The name of the operation in a document."""
    found = OPERATION.search(document)
    return found[1] if found else "unnamed"
