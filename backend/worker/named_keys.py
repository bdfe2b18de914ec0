"""Every object that the database names, in key order, a batch at a time.

One statement reads the three tables that name objects, and Postgres sorts the result on its own
disk. A cursor `WITH HOLD` is a snapshot that stays readable without a transaction, so listing a
large bucket for an hour delays neither vacuum nor the queue. It costs one sequential scan a night.
Indexes on the keys would have to be maintained by every stage of every job, and the keys inside
`job_stages.files` cannot have an ordered index at all.
"""

from collections.abc import AsyncIterator
from typing import Literal

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

KEYS_PER_FETCH = 1000

# Byte order, as S3 lists; the database's own collation may differ.
DECLARE_CURSOR = text(
    """
    DECLARE named_keys NO SCROLL CURSOR WITH HOLD FOR
    SELECT DISTINCT ON (key) key, kind, shop_id, owner, stage, name, is_stored
    FROM (
        SELECT key COLLATE "C" AS key, 'artifact' AS kind, shop_id, job_id AS owner, stage, name,
               true AS is_stored
        FROM artifacts
        UNION ALL
        SELECT file.value COLLATE "C", 'file', shop_id, job_id, stage, file.key, true
        FROM job_stages, jsonb_each_text(files) AS file
        UNION ALL
        SELECT key COLLATE "C", 'upload', shop_id, upload_key, '', '',
               stored_at IS NOT NULL AND expired_at IS NULL
        FROM uploads
    ) AS named
    ORDER BY key, kind
    """
)


class NamedKey(msgspec.Struct, frozen=True):
    """An object's key and a row that names it.

    `kind` says which table has it: an `artifact`, another `file` that a stage left for later ones,
    or an `upload`. `owner` is the job's public ID or the upload's key. The object need not exist
    unless `is_stored`.
    """

    key: str
    kind: Literal["artifact", "file", "upload"]
    shop_id: int
    owner: str
    stage: str
    name: str
    is_stored: bool


async def named_keys(connection: AsyncConnection) -> AsyncIterator[NamedKey]:
    """Yield each key once, artifacts before files with the same key; a snapshot of now.

    The connection must be in autocommit mode. May raise the database's errors at any point: a
    caller that has not reached the end has not seen all keys.
    """
    await connection.execute(DECLARE_CURSOR)
    fetch = text(f"FETCH {KEYS_PER_FETCH} FROM named_keys")
    while rows := (await connection.execute(fetch)).all():
        for row in rows:
            yield NamedKey(*row)
    await connection.execute(text("CLOSE named_keys"))
