"""Every error that Atelier raises on purpose, with its HTTP status and its stable code.

    AtelierError              base
    ├── ConfigurationError        a setting is wrong: the process does not start
    ├── RequestError              the caller can fix the request: 4xx                   client
    │   ├── BadRequest            400
    │   │   └── BodyTooSlow           400
    │   ├── AmbiguousCredentials  400
    │   ├── Unauthenticated       401
    │   │   ├── InvalidSessionToken   401, asks App Bridge for a new token
    │   │   └── ShopNotInstalled      401
    │   ├── InsufficientBalance   402                                                   limits
    │   ├── StorefrontUnpaid      402
    │   ├── WorkflowDisabled      403
    │   ├── ScopeMissing          403
    │   ├── RouteNotFound         404
    │   ├── JobNotFound           404
    │   ├── PublicationNotFound   404
    │   ├── ProductNotFound       404
    │   ├── BatchNotFound         404
    │   ├── PrivacyRequestNotFound 404
    │   ├── ResourceNotFound      404
    │   ├── WebhookEndpointNotFound 404
    │   ├── EndpointDeliveryNotFound 404
    │   ├── MethodNotAllowed      405, with Allow
    │   ├── WorkflowWithoutEngine 409
    │   ├── JobAlreadyFinished    409
    │   ├── JobNotFinished        409
    │   ├── AlreadyPublished      409
    │   ├── JobHasNoProduct       409
    │   ├── PhotoExpired          409
    │   ├── StorefrontJobRefused  409
    │   ├── BatchAlreadyFinished  409
    │   ├── BatchNothingToRetry   409
    │   ├── BillingDisabled       409
    │   ├── PacksNotSold          409
    │   ├── PlanAlreadyActive     409
    │   ├── ChargeRefused         409
    │   ├── TooManyWebhookEndpoints 409
    │   ├── WebhookEndpointDisabled 409
    │   ├── RequestInProgress     409
    │   ├── PreconditionFailed    412
    │   ├── BodyTooLarge          413
    │   ├── ImageTooLarge         413                                                   images
    │   ├── UnsupportedMedia      415
    │   │   └── ImageTypeUnsupported  415                                               images
    │   ├── InvalidRequest        422
    │   │   ├── IdempotencyKeyReused  422
    │   │   ├── PreviewNotPublishable 422
    │   │   └── UnusableImage         422: ImageTooSmall, ImageAnimated,                images
    │   │                                  ImageCorrupt, ImageTooComplex
    │   └── TooManyRequests       429, with Retry-After                                 limits
    │       ├── DailyCapReached       429
    │       ├── VisitorCapReached     429
    │       ├── TooManyOpenJobs       429
    │       ├── TooManyOpenBatches    429
    │       ├── TooManyOpenCharges    429
    │       └── StorageQuotaReached   429
    └── Unavailable               a temporary failure: 503 with Retry-After             unavailable
        ├── DatabaseUnavailable
        ├── ShopifyUnavailable
        │   ├── ShopInactive
        │   └── ShopifyBusy
        ├── StorageUnavailable
        ├── UploadsUnavailable
        └── ServerBusy

The column on the right names the module; all names can be imported from here. A released code never
changes; a message may. Why a job, a publication or a batch failed is not an error of the API: those
codes are in `backend.failures`.
"""

from backend.errors.base import AtelierError, ConfigurationError, RequestError
from backend.errors.client import (
    AlreadyPublished,
    AmbiguousCredentials,
    BadRequest,
    BatchAlreadyFinished,
    BatchNotFound,
    BatchNothingToRetry,
    BillingDisabled,
    BodyTooLarge,
    BodyTooSlow,
    ChargeRefused,
    EndpointDeliveryNotFound,
    IdempotencyKeyReused,
    InvalidRequest,
    InvalidSessionToken,
    JobAlreadyFinished,
    JobHasNoProduct,
    JobNotFinished,
    JobNotFound,
    MethodNotAllowed,
    PacksNotSold,
    PhotoExpired,
    PlanAlreadyActive,
    PreconditionFailed,
    PreviewNotPublishable,
    PrivacyRequestNotFound,
    ProductNotFound,
    PublicationNotFound,
    RequestInProgress,
    ResourceNotFound,
    RouteNotFound,
    ScopeMissing,
    ShopNotInstalled,
    StorefrontJobRefused,
    TooManyWebhookEndpoints,
    Unauthenticated,
    UnsupportedMedia,
    WebhookEndpointDisabled,
    WebhookEndpointNotFound,
    WorkflowDisabled,
    WorkflowWithoutEngine,
)
from backend.errors.images import (
    ImageAnimated,
    ImageCorrupt,
    ImageTooComplex,
    ImageTooLarge,
    ImageTooSmall,
    ImageTypeUnsupported,
    UnusableImage,
)
from backend.errors.limits import (
    DailyCapReached,
    InsufficientBalance,
    StorageQuotaReached,
    StorefrontUnpaid,
    TooManyOpenBatches,
    TooManyOpenCharges,
    TooManyOpenJobs,
    TooManyRequests,
    VisitorCapReached,
)
from backend.errors.unavailable import (
    DatabaseUnavailable,
    ServerBusy,
    ShopifyBusy,
    ShopifyUnavailable,
    ShopInactive,
    StorageUnavailable,
    Unavailable,
    UploadsUnavailable,
)

__all__ = [
    "AlreadyPublished",
    "AmbiguousCredentials",
    "AtelierError",
    "BadRequest",
    "BatchAlreadyFinished",
    "BatchNotFound",
    "BatchNothingToRetry",
    "BillingDisabled",
    "BodyTooLarge",
    "BodyTooSlow",
    "ChargeRefused",
    "ConfigurationError",
    "DailyCapReached",
    "DatabaseUnavailable",
    "EndpointDeliveryNotFound",
    "IdempotencyKeyReused",
    "ImageAnimated",
    "ImageCorrupt",
    "ImageTooComplex",
    "ImageTooLarge",
    "ImageTooSmall",
    "ImageTypeUnsupported",
    "InsufficientBalance",
    "InvalidRequest",
    "InvalidSessionToken",
    "JobAlreadyFinished",
    "JobHasNoProduct",
    "JobNotFinished",
    "JobNotFound",
    "MethodNotAllowed",
    "PacksNotSold",
    "PhotoExpired",
    "PlanAlreadyActive",
    "PreconditionFailed",
    "PreviewNotPublishable",
    "PrivacyRequestNotFound",
    "ProductNotFound",
    "PublicationNotFound",
    "RequestError",
    "RequestInProgress",
    "ResourceNotFound",
    "RouteNotFound",
    "ScopeMissing",
    "ServerBusy",
    "ShopInactive",
    "ShopNotInstalled",
    "ShopifyBusy",
    "ShopifyUnavailable",
    "StorageQuotaReached",
    "StorageUnavailable",
    "StorefrontJobRefused",
    "StorefrontUnpaid",
    "TooManyOpenBatches",
    "TooManyOpenCharges",
    "TooManyOpenJobs",
    "TooManyRequests",
    "TooManyWebhookEndpoints",
    "Unauthenticated",
    "Unavailable",
    "UnsupportedMedia",
    "UnusableImage",
    "UploadsUnavailable",
    "VisitorCapReached",
    "WebhookEndpointDisabled",
    "WebhookEndpointNotFound",
    "WorkflowDisabled",
    "WorkflowWithoutEngine",
]
