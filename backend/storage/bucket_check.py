"""Whether the bucket is there and takes our credentials, and what to do where it does not."""

import asyncio

import structlog
from botocore.exceptions import (
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)

from backend.errors import ConfigurationError, StorageUnavailable
from backend.storage.objects import ObjectMissing, ObjectStore

log = structlog.get_logger(__name__)

CHECK_TIMEOUT = 5.0  # seconds; an outage of the bucket must not keep a process from starting
NO_OBJECT = "artifacts/start-check"  # both roles may read here
CHECK_KEYS = "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_DEFAULT_REGION."
NO_BUCKET = "The bucket of S3_BUCKET does not exist. Create it, or correct S3_BUCKET."
NOT_S3 = "The server at S3_ENDPOINT_URL does not answer as S3 does. Check the address."
NO_ACCESS = "The bucket denies access. Check AWS_*, and the policy in deploy/s3 for this role."

# S3's error codes, with what to do. Other servers have the same ones.
REMEDIES = {
    "NoSuchBucket": NO_BUCKET,
    "InvalidBucketName": "S3_BUCKET is not a valid name of a bucket.",
    "InvalidAccessKeyId": f"The bucket refused the access key. {CHECK_KEYS}",
    "SignatureDoesNotMatch": f"The bucket refused the secret key. {CHECK_KEYS}",
    "AuthorizationHeaderMalformed": f"The bucket refused the signature. {CHECK_KEYS}",
    "InvalidToken": f"The bucket refused the session token. {CHECK_KEYS}",
    "ExpiredToken": "The AWS credentials have expired. Set new ones, or use an instance role.",
    "PermanentRedirect": "The bucket is in another region. Set AWS_DEFAULT_REGION.",
    "RequestTimeTooSkewed": "This machine's clock is wrong by more than 15 minutes. Set it by NTP.",
    "AccessDenied": NO_ACCESS,
    "403": NO_ACCESS,
    # An answer without a code: HeadBucket's, or that of a server that is not S3.
    "404": "There is no such bucket at this address. Check S3_BUCKET and S3_ENDPOINT_URL.",
}


async def require_bucket(store: ObjectStore, *, may_list: bool) -> None:
    """Raise `ConfigurationError` if the bucket is missing or refuses the credentials.

    An outage is only logged: the bucket may be back before it is needed. S3 denies the read of a
    missing object to whoever may not list the bucket, which a web process need not; `may_list`
    says that this process must.
    """
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            await store.get(NO_OBJECT)
        raise ConfigurationError(NOT_S3)
    except ObjectMissing:
        return
    except TimeoutError as error:
        warn_of_outage(error)
    except StorageUnavailable as error:
        remedy = bucket_remedy(error.__cause__)
        if remedy is None:
            warn_of_outage(error.__cause__)
        elif may_list or remedy is not NO_ACCESS:
            raise ConfigurationError(remedy) from error


def warn_of_outage(cause: BaseException | None) -> None:
    """Log that the bucket did not answer."""
    log.warning(
        "bucket_unreachable",
        cause=type(cause).__name__,
        message="The bucket is not responding. If this lasts, check S3_ENDPOINT_URL.",
    )


def bucket_remedy(cause: BaseException | None) -> str | None:
    """What to do about an error of botocore; None for an outage, which ends by itself."""
    if isinstance(cause, NoCredentialsError | PartialCredentialsError):
        return "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    if isinstance(cause, ParamValidationError):
        return REMEDIES["InvalidBucketName"]
    if isinstance(cause, ClientError):
        return REMEDIES.get(cause.response["Error"]["Code"])
    return None
