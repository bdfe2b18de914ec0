"""A picture that cannot be used ends its own job with a reason, and nothing else."""

from collections.abc import Callable

import pytest

from tests.flows.pictures import SVG, cut_out_shirt, png_bomb, tiny_jpeg
from tests.running_app import GARMENTS, RunningApp

pytestmark = pytest.mark.slow

BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "a decompression bomb": (png_bomb, "IMAGE_TOO_LARGE"),
    "an SVG": (lambda: SVG, "IMAGE_TYPE_UNSUPPORTED"),
    "a truncated file": (
        lambda: (GARMENTS / "tee_navy.jpg").read_bytes()[:30_000],
        "IMAGE_CORRUPT",
    ),
    "a thumbnail": (tiny_jpeg, "IMAGE_TOO_SMALL"),
    "a file over 25 MB": (lambda: b"\xff\xd8\xff" + bytes(25_000_000), "IMAGE_TOO_LARGE"),
    "an empty file": (lambda: b"", "IMAGE_TYPE_UNSUPPORTED"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_image_fails_its_own_job_only(running_app: RunningApp, name: str) -> None:
    picture, code = BAD[name]
    await running_app.install()
    bad = await running_app.request_job(picture())
    good = await running_app.request_job(cut_out_shirt())
    await running_app.drain()

    detail = (await running_app.detail(bad)).json()
    assert detail["status"] == "FAILURE"
    assert detail["result"] == []
    event = detail["latest_event"]
    assert event["event_type"] == "failed"
    assert event["extra"]["error"]["code"] == code
    assert event["extra"]["error"]["retryable"] is False
    assert event["extra"]["error"]["message"] == event["message"]
    assert (await running_app.detail(good)).json()["status"] == "SUCCESS"
