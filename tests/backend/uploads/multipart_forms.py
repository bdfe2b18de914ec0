"""Sending a picture to `POST /v1/uploads`, as clients do and as they should not."""

from typing import Any

import httpx

from tests.backend.imaging.files import jpeg, photo
from tests.running_app import SHOP, RunningApp

BOUNDARY = "a-boundary"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def picture(width: int = 600, height: int = 600) -> bytes:
    """A photo that is quickly dealt with."""
    return jpeg(photo(width, height))


async def post_upload(
    running_app: RunningApp, data: bytes, *, shop: str = SHOP, **how: Any
) -> httpx.Response:
    """Post one file, in a form that is as it should be."""
    part = how.pop("part", "file")
    files = {part: (how.pop("name", "photo.jpg"), data, how.pop("kind", "image/jpeg"))}
    return await running_app.http.post(
        "/v1/uploads", files=files, headers=running_app.bearer(shop), **how
    )


async def post_form(running_app: RunningApp, body: Any, *, shop: str = SHOP) -> httpx.Response:
    """Post any bytes in the name of multipart/form-data."""
    headers = {**running_app.bearer(shop), **MULTIPART}
    return await running_app.http.post("/v1/uploads", content=body, headers=headers)


async def upload_picture(running_app: RunningApp, *, shop: str = SHOP) -> str:
    """The key of a picture that was taken in."""
    answer = await post_upload(running_app, picture(), shop=shop)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["upload_key"])


def form(*parts: tuple[str, bytes]) -> bytes:
    """A multipart body with these parts, by name."""
    written = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="x"\r\n'
        "\r\n".encode()
        + data
        + b"\r\n"
        for name, data in parts
    ]
    return b"".join(written) + f"--{BOUNDARY}--\r\n".encode()


async def shop_id_of(running_app: RunningApp, shop: str = SHOP) -> int:
    """The shop's number."""
    return int((await running_app.rows("SELECT id FROM shops WHERE domain = :d", d=shop))[0]["id"])


async def row_of(running_app: RunningApp, upload_key: str) -> dict[str, Any]:
    """What we remember of an upload."""
    rows = await running_app.rows("SELECT * FROM uploads WHERE upload_key = :k", k=upload_key)
    return rows[0]


async def uploads_of(running_app: RunningApp, shop: str = SHOP) -> list[dict[str, Any]]:
    """Everything we remember of the shop's uploads."""
    return await running_app.rows(
        "SELECT u.* FROM uploads u JOIN shops s ON s.id = u.shop_id WHERE s.domain = :d", d=shop
    )
