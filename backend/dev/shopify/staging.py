"""Staged uploads: signed targets for bytes that `fileCreate` or `productUpdate` will name.

The shape is Google Cloud Storage's, which Shopify stages to: a PUT is signed in its query, a POST
in the fields of its form. The signature is the stand-in's own; nobody but it has to read it.
"""

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode

from backend.dev.shopify.processing import MAX_FILE_SIZE

STAGING_HOST = "shopify-staged-uploads.storage.googleapis.com"
ALGORITHM = "GOOG4-HMAC-SHA256"

Method = Literal["PUT", "POST"]


class UploadRefused(Exception):
    """An upload that the storage turns away, with its HTTP status and S3-like code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


@dataclass(slots=True, kw_only=True)
class Target:
    """One place to upload to, and what has come."""

    shop_number: int
    key: str
    filename: str
    content_type: str
    method: Method
    expires_at: int
    """In seconds since the epoch."""
    file_size: int | None = None
    """In bytes, if the app has announced it."""
    content: bytes | None = None

    @property
    def resource_url(self) -> str:
        """How mutations name the uploaded bytes."""
        return f"https://{STAGING_HOST}/{quote(self.key)}"


@dataclass(slots=True)
class Staging:
    """Every target that has been handed out, by its key."""

    _targets: dict[str, Target] = field(default_factory=dict)
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def open(
        self,
        shop_number: int,
        *,
        filename: str,
        content_type: str,
        method: Method,
        file_size: int | None,
        expires_at: int,
    ) -> Target:
        """Hand out a target. Nothing is there until the bytes have come."""
        target = Target(
            shop_number=shop_number,
            key=f"tmp/{shop_number}/files/{uuid.uuid4()}/{filename}",
            filename=filename,
            content_type=content_type,
            method=method,
            expires_at=expires_at,
            file_size=file_size,
        )
        self._targets[target.key] = target
        return target

    def url(self, target: Target) -> str:
        """Where to send the bytes: of a PUT, the signature is in the query."""
        if target.method == "POST":
            return f"https://{STAGING_HOST}/"
        return f"{target.resource_url}?{urlencode(self._signed(target))}"

    def parameters(self, target: Target) -> dict[str, str]:
        """What has to go along: headers of a PUT, fields of a POST's form before its file."""
        if target.method == "PUT":
            return {"content_type": target.content_type, "acl": "private"}
        return {
            "Content-Type": target.content_type,
            "success_action_status": "201",
            "acl": "private",
            "key": target.key,
            **{name.lower(): value for name, value in self._signed(target).items()},
        }

    def uploaded(self, resource_url: str, shop_number: int) -> Target | None:
        """The target that this URL names, if it is the shop's and its bytes are there."""
        target = self._targets.get(unquote(resource_url.removeprefix(f"https://{STAGING_HOST}/")))
        if target is None or target.resource_url != resource_url:
            return None
        there = target.shop_number == shop_number and target.content is not None
        return target if there else None

    def put(self, path: str, query: str, content_type: str, content: bytes, now: float) -> None:
        """Take a PUT. Raises UploadRefused."""
        target = self._targets.get(path.lstrip("/"))
        if target is None:
            raise UploadRefused(403, "AccessDenied")
        given = dict(parse_qsl(query))
        self._store(target, "PUT", given, content, content_type=content_type, now=now)

    def post(self, form: Mapping[str, str], content: bytes, now: float) -> Target:
        """Take a POST with the fields of its form. Raises UploadRefused."""
        target = self._targets.get(form.get("key", ""))
        if target is None:
            raise UploadRefused(403, "AccessDenied")
        if any(form.get(name) != value for name, value in self.parameters(target).items()):
            raise UploadRefused(403, "SignatureDoesNotMatch")
        given = {_canonical(name): value for name, value in form.items()}
        self._store(target, "POST", given, content, content_type=target.content_type, now=now)
        return target

    def _store(
        self,
        target: Target,
        method: Method,
        given: Mapping[str, str],
        content: bytes,
        *,
        content_type: str,
        now: float,
    ) -> None:
        expected = self._signed(target)
        if any(given.get(name) != value for name, value in expected.items()):
            raise UploadRefused(403, "SignatureDoesNotMatch")
        if target.method != method:
            raise UploadRefused(403, "SignatureDoesNotMatch")
        if now >= target.expires_at:
            raise UploadRefused(400, "ExpiredToken")
        if content_type.partition(";")[0].strip() != target.content_type:
            raise UploadRefused(403, "SignatureDoesNotMatch")
        if len(content) > MAX_FILE_SIZE:
            raise UploadRefused(400, "EntityTooLarge")
        if target.file_size is not None and len(content) != target.file_size:
            raise UploadRefused(400, "IncompleteBody")
        target.content = content

    def _signed(self, target: Target) -> dict[str, str]:
        """The parameters that prove that this target was handed out as it is."""
        facts = f"{target.method}\n{target.key}\n{target.content_type}\n{target.expires_at}"
        signature = hmac.new(self._secret, facts.encode(), hashlib.sha256).hexdigest()
        return {
            "X-Goog-Algorithm": ALGORITHM,
            "X-Goog-Expires": str(target.expires_at),
            "X-Goog-SignedHeaders": "content-type;host",
            "X-Goog-Signature": signature,
        }


def _canonical(name: str) -> str:
    names = ("X-Goog-Algorithm", "X-Goog-Expires", "X-Goog-SignedHeaders", "X-Goog-Signature")
    return next((each for each in names if each.lower() == name), name)
