"""Presigned GET URLs, signed offline at the start of a signing window.

Within a window a URL is the same bytes each time it is asked for, so a browser's cache works.
Every URL lives 15 minutes from its window's start, and a window lasts 5: whoever is handed one
has at least 10 minutes left.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import boto3
import msgspec
from botocore.auth import SIGV4_TIMESTAMP, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from backend.errors import ConfigurationError
from backend.settings import Settings
from backend.storage.keys import EXTENSIONS

WINDOW = 300  # seconds
LIFETIME = 900  # seconds
REMEMBERED = 50_000  # URLs, about 30 MB


class SignedUrl(msgspec.Struct, frozen=True):
    """A URL that downloads one object with GET until `expires_at`."""

    url: str
    expires_at: datetime


class SignerAt(S3SigV4QueryAuth):
    """botocore's presigner with the clock held still; its own reads the time itself."""

    def __init__(self, credentials: Credentials, region: str, at: datetime) -> None:
        super().__init__(credentials, "s3", region, expires=LIFETIME)
        self.at = at

    def add_auth(self, request: AWSRequest) -> None:
        """The steps of `SigV4Auth.add_auth`, at `self.at` rather than now."""
        signer: Any = self  # the type stubs leave out what a subclass needs
        request.context["timestamp"] = self.at.strftime(SIGV4_TIMESTAMP)
        signer._modify_request_before_signing(request)
        text = self.string_to_sign(request, self.canonical_request(request))
        signer._inject_signature_to_request(request, self.signature(text, request))


class Presigner:
    """Signs for one bucket. Remembers the current window's URLs, and only those.

    Signed with temporary credentials (an instance role), a URL dies with them if that is sooner.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        session = boto3.Session()
        credentials = session.get_credentials()
        if credentials is None:
            raise ConfigurationError("Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
        self.credentials = credentials
        self.region = session.region_name or "us-east-1"
        self.base = bucket_url(settings, self.region)
        self.clock = clock
        self.window = 0
        self.signed: dict[tuple[str, str], str] = {}

    def current_window(self) -> int:
        """The instant, in seconds since the epoch, at which URLs are signed just now."""
        return int(self.clock()) // WINDOW * WINDOW

    def sign(self, key: str, content_type: str) -> SignedUrl:
        """A URL for `key` that answers with exactly `content_type`, to be shown inline."""
        window = self.current_window()
        if window != self.window or len(self.signed) >= REMEMBERED:
            self.window, self.signed = window, {}
        url = self.signed.get((key, content_type))
        if url is None:
            url = self.signed[key, content_type] = self.signed_at(window, key, content_type)
        return SignedUrl(url, datetime.fromtimestamp(window + LIFETIME, UTC))

    def signed_at(self, window: int, key: str, content_type: str) -> str:
        """The URL as signed at the instant `window` (seconds since the epoch)."""
        name = f"{PurePosixPath(key).stem}.{EXTENSIONS.get(content_type, 'bin')}"
        request = AWSRequest(
            method="GET",
            url=f"{self.base}/{quote(key)}",
            params={
                "response-content-type": content_type,
                "response-content-disposition": f'inline; filename="{name}"',
            },
        )
        at = datetime.fromtimestamp(window, UTC)
        SignerAt(self.credentials, self.region, at).add_auth(request)
        return str(request.url)


def bucket_url(settings: Settings, region: str) -> str:
    """The bucket's address as clients reach it: path style on a custom endpoint."""
    endpoint = settings.s3_public_endpoint_url or settings.s3_endpoint_url
    if endpoint:
        return f"{endpoint.rstrip('/')}/{settings.s3_bucket}"
    return f"https://{settings.s3_bucket}.s3.{region}.amazonaws.com"
