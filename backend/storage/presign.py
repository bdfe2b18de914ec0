"""Presigned GET URLs, signed offline at the start of a signing window.

Within a window a URL is the same bytes each time it is asked for, so a browser's cache works.
Every URL lives 15 minutes from its window's start, and a window lasts 5: whoever is handed one
has at least 10 minutes left.
"""

import asyncio
import contextlib
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import PurePosixPath
from urllib.parse import SplitResult, quote, urlsplit

import boto3
import msgspec
import structlog
from botocore.credentials import ReadOnlyCredentials

from backend.errors import ConfigurationError
from backend.settings import Settings
from backend.storage.keys import EXTENSIONS

log = structlog.get_logger(__name__)

SIGNING_WINDOW = 300  # seconds
URL_LIFETIME = 900  # seconds
MAX_CACHED_URLS = 50_000  # URLs, about 30 MB
# Seconds. botocore renews temporary credentials from 15 minutes before their end on, and insists on
# it in the last ten: there are some tries in between.
RENEWAL_INTERVAL = 60.0


class SignedUrl(msgspec.Struct, frozen=True):
    """A URL that downloads one object with GET until `expires_at`."""

    url: str
    expires_at: datetime


class Presigner:
    """Signs for one bucket. Remembers the current window's URLs, and only those.

    Signed with temporary credentials (an instance role), a URL dies with them if that is sooner.
    To renew them is a call over the network: only `renewing` makes it, and signing never does.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        session = boto3.Session()
        credentials = session.get_credentials()
        if credentials is None:
            raise ConfigurationError("Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
        self.credentials = credentials
        self.frozen: ReadOnlyCredentials = credentials.get_frozen_credentials()
        self.region = session.region_name or "us-east-1"
        self.base = bucket_url(settings, self.region)
        self.clock = clock
        self.window = 0
        self.signer: Signer | None = None
        self.signed: dict[tuple[str, str], SignedUrl] = {}

    def current_window(self) -> int:
        """The instant, in seconds since the epoch, at which URLs are signed just now."""
        return int(self.clock()) // SIGNING_WINDOW * SIGNING_WINDOW

    def sign(self, key: str, content_type: str) -> SignedUrl:
        """A URL for `key` that answers with exactly `content_type`, to be shown inline."""
        window = self.current_window()
        if self.signer is None or window != self.window or len(self.signed) >= MAX_CACHED_URLS:
            self.signer, self.signed = self.signer_at(window), {}
            self.window = window
        known = self.signed.get((key, content_type))
        if known is None:
            name = f"{PurePosixPath(key).stem}.{EXTENSIONS.get(content_type, 'bin')}"
            known = self.signed[key, content_type] = SignedUrl(
                self.signer.url(key, content_type=content_type, filename=name),
                datetime.fromtimestamp(window + URL_LIFETIME, UTC),
            )
        return known

    @contextlib.asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        """Have the credentials renewed in time while the block runs, in a thread."""
        task = asyncio.create_task(self.renew_for_ever())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def renew_for_ever(self) -> None:
        """Look now and then whether other credentials are due; lasting ones cost nothing."""
        while True:
            try:
                self.frozen = await asyncio.to_thread(self.credentials.get_frozen_credentials)
            except Exception as error:  # whatever the provider raises: those that we have may do
                log.warning("credentials_not_renewed", cause=repr(error)[:300])
            await asyncio.sleep(RENEWAL_INTERVAL)

    def signer_at(self, window: int) -> "Signer":
        """A signer with the credentials of now; those of an instance role change."""
        return Signer(
            self.frozen,
            region=self.region,
            base=self.base,
            at=datetime.fromtimestamp(window, UTC),
        )


class Signer:
    """SigV4 in the query, with the clock held still at `at`.

    botocore's signer reads the time itself, and takes some 200 µs, of which all but the last digest
    is the same for every URL of a window; its URLs are these, byte for byte.
    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    """

    def __init__(
        self, credentials: ReadOnlyCredentials, *, region: str, base: str, at: datetime
    ) -> None:
        scope = f"{at:%Y%m%d}/{region}/s3/aws4_request"
        self.key = f"AWS4{credentials.secret_key}".encode()
        for part in scope.split("/"):
            self.key = hmac.digest(self.key, part.encode(), "sha256")
        self.base = base
        address = urlsplit(base)
        self.path = address.path
        self.to_sign = f"AWS4-HMAC-SHA256\n{at:%Y%m%dT%H%M%SZ}\n{scope}\n"
        self.after_query = f"\nhost:{host_header(address)}\n\nhost\nUNSIGNED-PAYLOAD"
        proof = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{credentials.access_key}/{scope}",
            "X-Amz-Date": f"{at:%Y%m%dT%H%M%SZ}",
            "X-Amz-Expires": str(URL_LIFETIME),
            "X-Amz-SignedHeaders": "host",
        }
        if credentials.token:
            proof["X-Amz-Security-Token"] = credentials.token
        self.proof = encode_query(proof)
        self.proof_in_order = encode_query(dict(sorted(proof.items())))

    def url(self, key: str, *, content_type: str, filename: str) -> str:
        """The URL of one object, which S3 then serves as this type and under this name."""
        path = quote(key)
        kind = f"response-content-type={quote(content_type, safe='-_.~')}"
        inline = quote(f'inline; filename="{filename}"', safe="-_.~")
        disposition = f"response-content-disposition={inline}"
        canonical = (
            f"GET\n{self.path}/{path}\n{self.proof_in_order}&{disposition}&{kind}{self.after_query}"
        )
        text = self.to_sign + hashlib.sha256(canonical.encode()).hexdigest()
        signature = hmac.digest(self.key, text.encode(), "sha256").hex()
        return f"{self.base}/{path}?{kind}&{disposition}&{self.proof}&X-Amz-Signature={signature}"


def encode_query(parameters: dict[str, str]) -> str:
    """A query as SigV4 wants it percent-encoded."""
    return "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in parameters.items())


def host_header(address: SplitResult) -> str:
    """What a client will send as Host: the port only where it is not the scheme's own."""
    host = address.hostname or ""
    host = f"[{host}]" if ":" in host else host
    standard = {"http": 80, "https": 443}[address.scheme]
    return host if address.port in {None, standard} else f"{host}:{address.port}"


def bucket_url(settings: Settings, region: str) -> str:
    """The bucket's address as clients reach it: path style on a custom endpoint."""
    endpoint = settings.s3_public_endpoint_url or settings.s3_endpoint_url
    if endpoint:
        return f"{endpoint.rstrip('/')}/{settings.s3_bucket}"
    return f"https://{settings.s3_bucket}.s3.{region}.amazonaws.com"
