"""The body of an upload: one part named file, within its limit, and nothing else."""

from collections.abc import AsyncIterator

import pytest

from backend.uploads.form import MAX_FILE_BYTES, MAX_UPLOAD_BODY_BYTES
from tests.backend.uploads.multipart_forms import (
    BOUNDARY,
    MULTIPART,
    form,
    picture,
    post_form,
    post_upload,
    uploads_of,
)
from tests.running_app import RunningApp
from tests.scenarios import refusal

WRONG_PARTS = {
    "no part": (form(), "file"),
    "another name": (form(("photo", b"x")), "photo"),
    "no name": (form(("", b"x")), ""),
    "another part after it": (form(("file", b"x"), ("more", b"x")), "more"),
    "another part before it": (form(("more", b"x"), ("file", b"x")), "more"),
    "the part twice": (form(("file", b"x"), ("file", b"x")), "file"),
    "an empty file": (form(("file", b"")), "file"),
    "a thousand parts": (form(*[("file", b"x")] * 1000), "file"),
}


@pytest.mark.parametrize("what", WRONG_PARTS)
async def test_a_form_must_contain_exactly_one_part_named_file(
    shared_app: RunningApp, what: str
) -> None:
    body, name = WRONG_PARTS[what]
    answer = await post_form(shared_app, body)
    assert refusal(answer) == (422, "INVALID_REQUEST")
    assert [item["loc"] for item in answer.json()["detail"]] == [["body", name]]


MALFORMED = {
    "nothing": b"",
    "another boundary": form(("file", b"x")).replace(b"a-boundary", b"the-boundary"),
    "cut short": form(("file", b"x"))[:-6],
    "cut in the headers": form(("file", b"x"))[:40],
    "no disposition": b"--a-boundary\r\nContent-Type: image/png\r\n\r\nx\r\n--a-boundary--",
    "headers that are not UTF-8": form(("file", b"x")).replace(b'"x"', b'"\xff"'),
    "endless headers": b"--a-boundary\r\nX: " + b"x" * 50_000,
    "a hundred headers": b"--a-boundary\r\n" + b"X: x\r\n" * 100 + b"\r\n",
    "garbage": b"\x00\xff" * 1000,
}


@pytest.mark.parametrize("what", MALFORMED)
async def test_a_body_that_is_not_multipart_is_refused(shared_app: RunningApp, what: str) -> None:
    assert refusal(await post_form(shared_app, MALFORMED[what])) == (400, "BAD_REQUEST")


async def test_any_bytes_in_the_file_part_are_treated_as_a_file(
    shared_app: RunningApp,
) -> None:
    body = form(("file", b"\xff\xfe not UTF-8")).replace(b'; filename="x"', b"")
    assert refusal(await post_form(shared_app, body)) == (415, "IMAGE_TYPE_UNSUPPORTED")


@pytest.mark.parametrize("kind", ["application/json", "image/jpeg", "multipart/mixed", ""])
async def test_another_content_type_is_refused(shared_app: RunningApp, kind: str) -> None:
    headers = {**shared_app.bearer(), "Content-Type": kind}
    answer = await shared_app.http.post("/v1/uploads", content=b"{}", headers=headers)
    assert refusal(answer) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_an_encoded_body_or_a_missing_boundary_is_refused(
    shared_app: RunningApp,
) -> None:
    encoded = {**shared_app.bearer(), **MULTIPART, "Content-Encoding": "gzip"}
    answer = await shared_app.http.post("/v1/uploads", content=b"x", headers=encoded)
    assert refusal(answer) == (415, "UNSUPPORTED_MEDIA_TYPE")
    without = {**shared_app.bearer(), "Content-Type": "multipart/form-data"}
    answer = await shared_app.http.post("/v1/uploads", content=b"x", headers=without)
    assert refusal(answer) == (400, "BAD_REQUEST")


async def test_a_file_may_have_at_most_25_million_bytes(shared_app: RunningApp) -> None:
    padded = picture().ljust(MAX_FILE_BYTES, b"\0")  # a decoder stops at the picture's end
    assert (await post_upload(shared_app, padded)).status_code == 201
    answer = await post_upload(shared_app, padded + b"\0")
    assert refusal(answer) == (413, "IMAGE_TOO_LARGE")
    told = answer.json()["error"]["message"]
    assert told == "The file is larger than the limit of 25 MB.", "refused here, not by the child"


async def test_a_body_over_the_limit_is_refused_announced_or_chunked(
    shared_app: RunningApp, shop: str
) -> None:
    sent = 0

    async def in_chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"\r\n\r\n'.encode()
        while sent < MAX_UPLOAD_BODY_BYTES * 2:
            sent += 1_000_000
            yield bytes(1_000_000)

    announced = await post_form(shared_app, bytes(MAX_UPLOAD_BODY_BYTES + 1), shop=shop)
    assert refusal(announced) == (413, "BODY_TOO_LARGE")
    chunked = await post_form(shared_app, in_chunks(), shop=shop)
    assert refusal(chunked)[0] == 413, "whichever of the two limits it meets first"
    preamble = await post_form(shared_app, iter_over(MAX_UPLOAD_BODY_BYTES + 1), shop=shop)
    assert refusal(preamble) == (413, "BODY_TOO_LARGE")
    assert await uploads_of(shared_app, shop) == []


async def iter_over(size: int) -> AsyncIterator[bytes]:
    """So many bytes that belong to no part, not announced."""
    for start in range(0, size, 1_000_000):
        yield bytes(min(1_000_000, size - start))
