"""The web process as a process of its own: it takes pictures in and never touches a pixel."""

import asyncio
import signal
from pathlib import Path

import httpx
import msgspec
import pytest

from tests.backend.uploads.multipart_forms import picture
from tests.flows.processes import running_web_process, web_process
from tests.running_app import RunningApp
from tests.scenarios import waiting_job
from tests.source_tree import pixel_modules

pytestmark = pytest.mark.slow  # it starts processes


async def test_the_web_process_accepts_an_upload_without_loading_pixel_code(
    running_app: RunningApp,
) -> None:
    await running_app.install()
    async with running_web_process(running_app) as (process, port):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            answer = await client.post(
                "/v1/uploads", files={"file": picture()}, headers=running_app.bearer()
            )
            assert answer.status_code == 201
            assert (await client.get(answer.json()["image_url"])).status_code == 200
        process.send_signal(signal.SIGINT)
        told, _ = await asyncio.wait_for(process.communicate(), 20)
    loaded = told.decode().splitlines()[-1].split()
    assert "backend.renderers.local" in loaded, "it speaks with the child that decodes"
    assert pixel_modules(loaded) == []


async def test_an_endless_header_is_refused(running_app: RunningApp) -> None:
    async with running_web_process(running_app) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nx: " + b"a" * 200_000)
        refused = await asyncio.wait_for(reader.readline(), 20)
        assert refused.startswith(b"HTTP/1.1 431 ")
        writer.close()


async def test_an_idle_connection_outlives_uvicorns_default_of_five_seconds(
    running_app: RunningApp,
) -> None:
    """A proxy that reuses it would meet a closed one, and its visitor a 502."""
    async with running_web_process(running_app) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for idle in (0, 5.5):
            await asyncio.sleep(idle)
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            assert head.startswith(b"HTTP/1.1 200 ")
            await reader.readexactly(len(b'{"status":"ok"}'))
        writer.close()


async def test_a_long_poll_is_answered_before_the_process_stops(
    running_app: RunningApp,
) -> None:
    """A roll would cut it off after ten seconds, and the visitor would get a 502."""
    await running_app.install()
    ref = await waiting_job(running_app)
    async with running_web_process(running_app) as (process, port):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            events = f"/v1/jobs/{ref.public_id}/events"
            assert (await client.get(events, headers=running_app.bearer())).status_code == 200
            waits = client.get(
                events, params={"since": 1, "wait": 25}, headers=running_app.bearer()
            )
            waiting = asyncio.create_task(waits)
            await asyncio.sleep(0.5)  # whether it waits already or is only about to: it is answered
            process.send_signal(signal.SIGTERM)
            answer = await asyncio.wait_for(waiting, 5)
        assert (answer.status_code, answer.json()["events"]) == (200, [])
        assert await asyncio.wait_for(process.wait(), 5) == 0


async def test_a_stopped_process_has_logged_every_request(
    running_app: RunningApp, tmp_path: Path
) -> None:
    async with (
        web_process(running_app, tmp_path / "log") as url,
        httpx.AsyncClient(base_url=url, timeout=30) as client,
    ):
        answers = [await client.get("/health/live") for _ in range(20)]
    lines = map(msgspec.json.decode, (tmp_path / "log").read_text().splitlines())
    logged = [line["request_id"] for line in lines if line["event"] == "request"]
    assert logged[-20:] == [answer.headers["x-request-id"] for answer in answers]
