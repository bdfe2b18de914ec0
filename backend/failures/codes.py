"""Why a job, a publication or a batch failed: each code, its message and what to do about it.

A failure whose reason is the photo itself is in `backend.failures.images`. No other module defines
a failure code. `docs/errors.md` and the codes in the API's description are made from them. A code
never changes once released; a message may. The errors with which the API answers a request are in
`backend.errors`.

To add one: `define` it, raise it in a `Failed`, and run `make errors`.
"""

from backend.failures.registry import Noun, define, variant

JOB, PUBLICATION, BATCH = Noun.JOB, Noun.PUBLICATION, Noun.BATCH

# The end was asked for.
CANCELLED = define(
    "CANCELLED",
    "The job was cancelled.",
    JOB,
    BATCH,
    advice="Nothing. Create a new job if you still want the image.",
)
ERASED = define(
    "ERASED",
    "The job was erased at the shop's or customer's request.",
    JOB,
    advice="Nothing. The job and its images are being deleted.",
)

# The shop and its access.
SHOP_NOT_INSTALLED = define(
    "SHOP_NOT_INSTALLED",
    "The app is not installed in this shop.",
    JOB,
    PUBLICATION,
    BATCH,
    advice="Install the app in the shop, then try again.",
)
SHOP_UNINSTALLED = define(
    "SHOP_UNINSTALLED",
    "The app was removed from the shop before this was finished.",
    JOB,
    PUBLICATION,
    BATCH,
    retryable=True,
    advice="Install the app in the shop again, then try again.",
)
REAUTH_NEEDED = define(
    "REAUTH_NEEDED",
    "Nobody opened the app in the shop for 30 days. Open it, then try again.",
    JOB,
    PUBLICATION,
    BATCH,
    retryable=True,
    advice="Open the app in the Shopify admin, which renews its access. Then try again.",
)
CREDITS_NEEDED = define(
    "CREDITS_NEEDED",
    "The shop had too few credits for 30 days. Buy credits, then retry the batch.",
    BATCH,
    retryable=True,
    advice="Buy credits, then retry the batch: it goes on where it stopped.",
)
SCOPE_MISSING = define(
    "SCOPE_MISSING",
    "The app may not read this shop's products. Grant it read_products.",
    JOB,
    PUBLICATION,
    BATCH,
    advice="Open the app in the Shopify admin and grant the access that the message names.",
)
MEDIA_SCOPE_MISSING = variant(
    SCOPE_MISSING,
    "The app may not change this shop's media. Grant it write_products and write_files.",
)

# What was asked for is not there.
PRODUCT_NOT_FOUND = define(
    "PRODUCT_NOT_FOUND",
    "The shop has no such product, or has deleted it.",
    JOB,
    PUBLICATION,
    advice="Check the product's id. A job of the storefront needs a product that is published.",
)
MEDIA_NOT_FOUND = define(
    "MEDIA_NOT_FOUND",
    "The shop has no such photo, or has deleted it.",
    JOB,
    advice="Check the media's id, or choose another photo.",
)
NO_IMAGE = define(
    "NO_IMAGE",
    "The product has no photo. Add one, then retry.",
    JOB,
    BATCH,
    advice="Add a photo to the product, then try again. Videos and 3D models do not count.",
)
UPLOAD_EXPIRED = define(
    "UPLOAD_EXPIRED",
    "The uploaded photo is no longer stored. Upload it again.",
    JOB,
    advice="Upload the photo again with POST /v1/uploads, then create a new job.",
)
SOURCE_JOB_EXPIRED = define(
    "SOURCE_JOB_EXPIRED",
    "The photo of the job to repeat is no longer stored. Create a new job.",
    JOB,
    advice="Create a new job for the product instead of running the old one again.",
)
CATALOG_IMAGE_GONE = define(
    "CATALOG_IMAGE_GONE",
    "The image of the catalog entry is no longer stored. Choose another entry.",
    JOB,
    advice="Choose another entry of the catalog, or generate a new one.",
)
IMAGE_NOT_FOUND = define(
    "IMAGE_NOT_FOUND",
    "Shopify's CDN did not return the photo.",
    JOB,
    advice="Check that the photo still exists in Shopify, then create a new job.",
)
IMAGE_SOURCE_REFUSED = define(
    "IMAGE_SOURCE_REFUSED",
    "The photo is not on Shopify's CDN.",
    JOB,
    advice="Use a photo from cdn.shopify.com, or upload it with POST /v1/uploads.",
)
WORKFLOW_RETIRED = define(
    "WORKFLOW_RETIRED",
    "This workflow is no longer offered. GET /v1/operations lists the current ones.",
    JOB,
    BATCH,
    advice="Choose a workflow that GET /v1/operations lists.",
)
COLLECTION_NOT_FOUND = define(
    "COLLECTION_NOT_FOUND",
    "The shop has no such collection, or has deleted it.",
    BATCH,
    advice="Check the collection's id.",
)
COLLECTION_EMPTY = define(
    "COLLECTION_EMPTY",
    "The collection has no products. Add some, then retry.",
    BATCH,
    advice="Add products to the collection, then retry the batch.",
)
BATCH_TOO_LARGE = define(
    "BATCH_TOO_LARGE",
    "The collection has more than 10,000 products. Split it into smaller ones.",
    BATCH,
    advice="Split the collection into smaller ones, and create a batch for each.",
)

CATEGORY_UNKNOWN = define(
    "CATEGORY_UNKNOWN",
    "The product's type and tags do not say which kind of garment this is.",
    JOB,
    advice="Name the `category` in the request or the rule, or set the product's type in Shopify.",
)

# Our own work.
RENDER_TIMEOUT = define(
    "RENDER_TIMEOUT",
    "This image took too long to process. Upload a smaller or simpler version.",
    JOB,
    advice="Use a smaller or simpler photo.",
)
RENDER_OUT_OF_MEMORY = define(
    "RENDER_OUT_OF_MEMORY",
    "This image needs more memory than one image may take. Upload a smaller version.",
    JOB,
    advice="Use a smaller photo.",
)
RENDER_CRASHED = define(
    "RENDER_CRASHED",
    "The image could not be processed.",
    JOB,
    retryable=True,
    advice="Create the job again. If it keeps failing, try another photo or contact support.",
)
RENDER_REQUEST_INVALID = define(
    "RENDER_REQUEST_INVALID",
    "The image was not processed: the request is invalid.",
    JOB,
    advice="Check the parameters that the message names. If they are right, contact support.",
)
WORKER_CRASHED = define(
    "WORKER_CRASHED",
    "The job could not be finished in three attempts. Try another photo or contact support.",
    JOB,
    advice="Try another photo. If that fails too, contact support.",
)
PUBLICATION_CRASHED = define(
    "PUBLICATION_CRASHED",
    "The publication could not be finished. Contact support.",
    PUBLICATION,
    advice="Contact support.",
)
EXPANSION_CRASHED = define(
    "EXPANSION_CRASHED",
    "The batch could not be finished. Contact support.",
    BATCH,
    advice="Contact support.",
)

# Hosted providers.
CONTENT_REFUSED = define(
    "CONTENT_REFUSED",
    "The provider's safety rules refused this picture. Nothing was charged.",
    JOB,
    advice="Use another photo. The same one is refused again.",
)
POSE_NOT_FOUND = define(
    "POSE_NOT_FOUND",
    "No person, or no usable pose, was found in the photo.",
    JOB,
    advice="Use a photo that shows one person from the front, from head to hips at least.",
)
PROVIDER_INPUT_REFUSED = define(
    "PROVIDER_INPUT_REFUSED",
    "The provider could not work with this photo.",
    JOB,
    advice="Use another photo; the message ends with the provider's reason if it gave one.",
)
PROVIDER_FAILED = define(
    "PROVIDER_FAILED",
    "The provider could not make the picture.",
    JOB,
    retryable=True,
    advice="Create the job again. If it keeps failing, try another photo or contact support.",
)
PROVIDER_TIMEOUT = define(
    "PROVIDER_TIMEOUT",
    "The provider did not finish the picture in time.",
    JOB,
    retryable=True,
    advice="Create the job again later.",
)
PROVIDER_UNAVAILABLE = define(
    "PROVIDER_UNAVAILABLE",
    "The provider was not available. Try again later.",
    JOB,
    retryable=True,
    advice="Try again later.",
)
PROVIDER_OUTPUT_INVALID = define(
    "PROVIDER_OUTPUT_INVALID",
    "The provider delivered no usable picture.",
    JOB,
    retryable=True,
    advice="Create the job again. If it keeps failing, contact support.",
)
PROVIDER_MISCONFIGURED = define(
    "PROVIDER_MISCONFIGURED",
    "The provider refused this app's access. Contact support.",
    JOB,
    advice="Contact support: the operator has to check the provider's key and account.",
)
ANSWER_LOST = define(
    "ANSWER_LOST",
    "The provider's answer was lost twice. Create the job again.",
    JOB,
    retryable=True,
    advice="Create the job again. If it keeps failing, contact support.",
)
ENGINE_MISSING = define(
    "ENGINE_MISSING",
    "This workflow needs an engine that is no longer set up. Contact support.",
    JOB,
    BATCH,
    advice="Contact support: the operator has to set ENGINES for the workflow's stages.",
)

# Shopify and the image storage.
SHOPIFY_UNAVAILABLE = define(
    "SHOPIFY_UNAVAILABLE",
    "Shopify did not respond in time. Try again later.",
    JOB,
    PUBLICATION,
    BATCH,
    retryable=True,
    advice="Try again later. Shopify reports outages at https://www.shopifystatus.com.",
)
SHOPIFY_REFUSED = define(
    "SHOPIFY_REFUSED",
    "Shopify refused to return the photo. Contact support.",
    JOB,
    PUBLICATION,
    BATCH,
    advice="Contact support: Shopify's reason is in the operator's log.",
)
PUBLICATION_REFUSED = variant(
    SHOPIFY_REFUSED, "Shopify refused to change the product's media. Contact support."
)
COLLECTION_REFUSED = variant(
    SHOPIFY_REFUSED, "Shopify refused to return the collection. Contact support."
)
STORAGE_UNAVAILABLE = define(
    "STORAGE_UNAVAILABLE",
    "The image storage did not respond in time. Try again later.",
    JOB,
    PUBLICATION,
    retryable=True,
    advice="Try again later.",
)
IMAGE_REFUSED_BY_SHOPIFY = define(
    "IMAGE_REFUSED_BY_SHOPIFY",
    "Shopify refused the image.",
    PUBLICATION,
    advice="The message ends with Shopify's own reason. Publish another image.",
)
MEDIA_LIMIT_REACHED = define(
    "MEDIA_LIMIT_REACHED",
    "The product cannot have that many more media.",
    PUBLICATION,
    advice="Remove media from the product, or publish fewer images.",
)
ALT_TOO_LONG = define(
    "ALT_TOO_LONG",
    "Shopify refused an alt text because it is too long.",
    PUBLICATION,
    advice="Shorten the alt text, then publish again.",
)
RESTORE_INCOMPLETE = define(
    "RESTORE_INCOMPLETE",
    "Our images were removed, but the gallery could not be fully restored. Retry the DELETE.",
    PUBLICATION,
    retryable=True,
    advice="Send the DELETE again.",
)
