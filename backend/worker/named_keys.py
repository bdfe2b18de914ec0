"""Every object that the database knows of, in the order of the keys, a batch at a time.

One statement reads the three tables that name objects, and Postgres sorts the answer on its own
disk: a cursor `WITH HOLD` is a snapshot that stays readable without a transaction, so that the hour
which a large bucket takes to list holds back no vacuum and no queue. That costs one sequential scan
a night. Indexes on the keys would have to be kept by every stage of every job, and the keys inside
`job_stages.files` cannot have an ordered one at all.
"""

from collections.abc import AsyncIterator
from typing import Literal

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

KEYS_PER_FETCH = 1000

# The order is that of bytes, as S3 lists: the database's own collation may be a person's.
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

    `kind` says in which table it is: an `artifact`, another `file` that a stage left for later
    ones, or an `upload`. `owner` is the job's public id or the upload's key. The object need not be
    there unless `is_stored`.
    """

    key: str
    kind: Literal["artifact", "file", "upload"]
    shop_id: int
    owner: str
    stage: str
    name: str
    is_stored: bool


async def named_keys(connection: AsyncConnection) -> AsyncIterator[NamedKey]:
    """Each key once, artifacts before the files that they also are; as of now.

    The connection must be one that commits by itself. Raises what the database raises, at any
    point: whoever has not seen the end has not seen it all.
    """
    await connection.execute(DECLARE_CURSOR)
    fetch = text(f"FETCH {KEYS_PER_FETCH} FROM named_keys")
    while rows := (await connection.execute(fetch)).all():
        for row in rows:
            yield NamedKey(*row)
    await connection.execute(text("CLOSE named_keys"))
