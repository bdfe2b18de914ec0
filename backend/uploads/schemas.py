"""The answer to `POST /v1/uploads`."""

import msgspec


class UploadResponse(msgspec.Struct, frozen=True, kw_only=True):
    """`upload_key` is what a job's request names; `image_url` shows the picture as we keep it."""

    upload_key: str
    image_url: str
