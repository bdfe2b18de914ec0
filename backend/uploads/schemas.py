"""Response of `POST /v1/uploads`."""

import msgspec


class UploadResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Use `upload_key` in a job's request. `image_url` shows the image as it is stored."""

    upload_key: str
    image_url: str
