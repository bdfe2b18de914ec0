"""Names of objects: opaque, for a presigned URL shows its key to whoever holds the URL."""

import hashlib

PREFIX = "artifacts/"


def artifact_key(*, shop_id: int, job_id: str, stage: str, name: str, data: bytes) -> str:
    """`artifacts/` and 32 hex digits, the same whenever the same stage makes the same bytes.

    A retried stage thus finds its object already there instead of leaving an orphan. The job id's
    80 random bits keep the key unguessable; nothing of the shop, file or job can be read from it.
    """
    digest = hashlib.sha256()
    for part in (str(shop_id), job_id, stage, name):
        digest.update(part.encode() + b"\0")
    digest.update(hashlib.sha256(data).digest())
    return PREFIX + digest.hexdigest()[:32]
