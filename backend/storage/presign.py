"""Presigned GET URLs, signed offline as of the start of a signing window.

Within a window the same object always gets the same URL, so that browsers can cache it. A URL is
valid for 15 minutes from the start of its window, and a window lasts 5: so a new URL is valid for
at least 10 minutes.
"""

import asyncio
import contextlib
import functools
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from urllib.parse import SplitResult, quote, urlsplit

import msgspec
import structlog
from botocore.credentials import ReadOnlyCredentials

from backend.errors import ConfigurationError
from backend.settings import Settings
from backend.storage.aws_session import aws_session
from backend.storage.keys import EXTENSIONS

log = structlog.get_logger(__name__)

SIGNING_WINDOW = 300  # seconds
URL_LIFETIME = 900  # seconds
PROVIDER_URL_LIFETIME = 3600  # seconds: a provider may fetch its inputs when their turn comes
MAX_CACHED_URLS = 50_000  # URLs, about 30 MB
# Seconds. botocore refreshes temporary credentials from 15 minutes before their expiry, and raises
# in the last ten if that fails: this leaves some attempts in between.
RENEWAL_INTERVAL = 60.0
UNRESERVED = "-_.~"  # what SigV4 does not percent-encode, besides letters and digits
DISPOSITION = "response-content-disposition=inline%3B%20filename%3D%22"


class SignedUrl(msgspec.Struct, frozen=True, gc=False):
    """A URL that downloads one object with GET until `expires_at`."""

    url: str
    expires_at: datetime


class Presigner:
    """Signs URLs for one bucket, with a cache of the current window's URLs.

    A URL signed with temporary credentials (an instance role) expires with them if that is sooner.
    Only `renewing` refreshes them, over the network; signing never does.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        session = aws_session()
        credentials = session.get_credentials()
        if credentials is None:
            raise ConfigurationError("Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
        self.credentials = credentials
        self.frozen: ReadOnlyCredentials = credentials.get_frozen_credentials()
        self.region = session.region_name or "us-east-1"
        self.base = bucket_url(settings, self.region)
        self.clock = clock
        self.window = 0
        self.expires_at = datetime.fromtimestamp(0, UTC)
        self.signer: Signer | None = None
        self.signed: dict[tuple[str, str], SignedUrl] = {}

    @property
    def origin(self) -> str:
        """Scheme, host and port of the URLs."""
        address = urlsplit(self.base)
        return f"{address.scheme}://{address.netloc}"

    def current_window(self) -> int:
        """The start of the current signing window, in seconds since the epoch."""
        return int(self.clock()) // SIGNING_WINDOW * SIGNING_WINDOW

    def sign(self, key: str, content_type: str) -> SignedUrl:
        """A URL for `key`, served inline with exactly `content_type`."""
        window = self.current_window()
        if self.signer is None or window != self.window or len(self.signed) >= MAX_CACHED_URLS:
            self.signer, self.signed = self.signer_at(window), {}
            self.window, self.expires_at = (
                window,
                datetime.fromtimestamp(window + URL_LIFETIME, UTC),
            )
        cached = self.signed.get((key, content_type))
        if cached is None:
            name = file_name(key, content_type)
            cached = self.signed[key, content_type] = SignedUrl(
                self.signer.url(key, content_type=content_type, filename=name), self.expires_at
            )
        return cached

    async def sign_for_provider(self, key: str, content_type: str) -> str:
        """A URL for a hosted provider, which works for an hour from now.

        It uses the credentials of this moment, so nobody has to renew them.
        """
        signer = Signer(
            await asyncio.to_thread(self.credentials.get_frozen_credentials),
            region=self.region,
            base=self.base,
            at=datetime.fromtimestamp(int(self.clock()), UTC),
            lifetime=PROVIDER_URL_LIFETIME,
        )
        return signer.url(key, content_type=content_type, filename=file_name(key, content_type))

    @contextlib.asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        """Refresh the credentials in a background thread while the block runs."""
        task = asyncio.create_task(self.renew_for_ever())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def renew_for_ever(self) -> None:
        """Refresh temporary credentials periodically; static ones cost nothing."""
        while True:
            try:
                self.frozen = await asyncio.to_thread(self.credentials.get_frozen_credentials)
            except Exception as error:  # any provider's error: the current ones may still be valid
                log.warning("credentials_not_renewed", cause=repr(error)[:300])
            await asyncio.sleep(RENEWAL_INTERVAL)

    def signer_at(self, window: int) -> "Signer":
        """A signer with the current credentials; those of an instance role change."""
        return Signer(
            self.frozen,
            region=self.region,
            base=self.base,
            at=datetime.fromtimestamp(window, UTC),
        )


class Signer:
    """SigV4 in the query, as of the time `at`.

    botocore's signer uses the current time and takes some 200 µs. Here all that the URLs of a
    window share is computed once, including the state of the HMAC after its first bytes. The URLs
    are byte for byte the same as botocore's.
    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    """

    def __init__(
        self,
        credentials: ReadOnlyCredentials,
        *,
        region: str,
        base: str,
        at: datetime,
        lifetime: int = URL_LIFETIME,
    ) -> None:
        scope = f"{at:%Y%m%d}/{region}/s3/aws4_request"
        key = f"AWS4{credentials.secret_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        to_sign = f"AWS4-HMAC-SHA256\n{at:%Y%m%dT%H%M%SZ}\n{scope}\n"
        self.begun_signature = hmac.new(key, to_sign.encode(), "sha256")
        address = urlsplit(base)
        proof = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{credentials.access_key}/{scope}",
            "X-Amz-Date": f"{at:%Y%m%dT%H%M%SZ}",
            "X-Amz-Expires": str(lifetime),
            "X-Amz-SignedHeaders": "host",
        }
        if credentials.token:
            proof["X-Amz-Security-Token"] = credentials.token
        self.base = base
        self.proof = encode_query(proof)
        # The canonical request: before the path, and between it and the response's headers.
        self.before_path = f"GET\n{address.path}/"
        self.after_path = f"\n{encode_query(dict(sorted(proof.items())))}&"
        self.after_query = f"\nhost:{host_header(address)}\n\nhost\nUNSIGNED-PAYLOAD"

    def url(self, key: str, *, content_type: str, filename: str) -> str:
        """The URL of one object, which S3 then serves as this type and under this name."""
        path = quote(key)
        kind = encode_content_type(content_type)
        disposition = f"{DISPOSITION}{quote(filename, safe=UNRESERVED)}%22"
        canonical = (
            f"{self.before_path}{path}{self.after_path}{disposition}&{kind}{self.after_query}"
        )
        signature = self.begun_signature.copy()
        signature.update(hashlib.sha256(canonical.encode()).hexdigest().encode())
        return (
            f"{self.base}/{path}?{kind}&{disposition}&{self.proof}"
            f"&X-Amz-Signature={signature.hexdigest()}"
        )


def file_name(key: str, content_type: str) -> str:
    """The name under which the object is saved: opaque, as its key is."""
    name = key.rpartition("/")[2]
    return f"{name.rpartition('.')[0] or name}.{EXTENSIONS.get(content_type, 'bin')}"


@functools.lru_cache(maxsize=64)
def encode_content_type(content_type: str) -> str:
    """The parameter with which S3 serves this type; there are only a few types."""
    return f"response-content-type={quote(content_type, safe=UNRESERVED)}"


def encode_query(parameters: dict[str, str]) -> str:
    """A query, percent-encoded as SigV4 requires."""
    return "&".join(f"{name}={quote(value, safe=UNRESERVED)}" for name, value in parameters.items())


def host_header(address: SplitResult) -> str:
    """The Host header a client will send: with the port if it is not the default."""
    host = address.hostname or ""
    host = f"[{host}]" if ":" in host else host
    standard = {"http": 80, "https": 443}[address.scheme]
    return host if address.port in {None, standard} else f"{host}:{address.port}"


def bucket_url(settings: Settings, region: str) -> str:
    """The bucket's public URL: path style on a custom endpoint."""
    endpoint = settings.s3_public_endpoint_url or settings.s3_endpoint_url
    if endpoint:
        return f"{endpoint.rstrip('/')}/{settings.s3_bucket}"
    return f"https://{settings.s3_bucket}.s3.{region}.amazonaws.com"
