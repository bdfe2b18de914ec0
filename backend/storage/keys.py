"""Object keys: opaque, because a presigned URL shows the key to its holder."""

import hashlib
import secrets

ARTIFACT_PREFIX = "artifacts/"
UPLOAD_PREFIX = "uploads/"
EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/avif": "avif",
}
CONTENT_TYPES = {extension: content_type for content_type, extension in EXTENSIONS.items()}


def artifact_key(
    *, shop_id: int, job_id: str, stage: str, name: str, data: bytes, attempt: int | None = None
) -> str:
    """`artifacts/` and 32 hex digits, the same whenever the same stage makes the same bytes.

    So a retried stage finds its object already stored instead of leaving an orphan. The job id's 80
    random bits make the key unguessable; it reveals nothing of the shop, file or job. With an
    `attempt` the key is unique to that attempt, for when the usual key is a `Leftover`.
    """
    digest = hashlib.sha256()
    salt = () if attempt is None else (str(attempt),)
    for part in (str(shop_id), job_id, stage, name, *salt):
        digest.update(part.encode() + b"\0")
    digest.update(hashlib.sha256(data).digest())
    return ARTIFACT_PREFIX + digest.hexdigest()[:32]


def upload_object_key(content_type: str) -> str:
    """`uploads/`, 32 random hex digits, and the extension of the image type."""
    return f"{UPLOAD_PREFIX}{secrets.token_hex(16)}.{EXTENSIONS[content_type]}"


def content_type_of(key: str) -> str:
    """The content type by the key's extension; `application/octet-stream` if it is unknown."""
    return CONTENT_TYPES.get(key.rpartition(".")[2], "application/octet-stream")
