"""Names of objects: opaque, for a presigned URL shows its key to whoever holds the URL."""

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

    A retried stage thus finds its object already there instead of leaving an orphan. The job id's
    80 random bits keep the key unguessable; nothing of the shop, file or job can be read from it.
    With an `attempt` it is a key of that attempt alone, for where the usual one is a `Leftover`.
    """
    digest = hashlib.sha256()
    salt = () if attempt is None else (str(attempt),)
    for part in (str(shop_id), job_id, stage, name, *salt):
        digest.update(part.encode() + b"\0")
    digest.update(hashlib.sha256(data).digest())
    return ARTIFACT_PREFIX + digest.hexdigest()[:32]


def upload_object_key(content_type: str) -> str:
    """`uploads/`, 32 random hex digits, and the suffix that tells what kind of picture it is."""
    return f"{UPLOAD_PREFIX}{secrets.token_hex(16)}.{EXTENSIONS[content_type]}"


def content_type_of(key: str) -> str:
    """What kind of picture an upload's key names; a key that does not say so names plain bytes."""
    return CONTENT_TYPES.get(key.rpartition(".")[2], "application/octet-stream")
