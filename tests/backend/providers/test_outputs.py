"""An output is fetched from the internet and nowhere else, and only so many bytes of a picture."""

import base64
import tracemalloc

import httpx
import pytest

from backend.providers.outputs import MAX_OUTPUT_BYTES, OutputFetcher
from backend.providers.provider import OutputImage, ProviderFailed, ProviderUnavailable
from tests.backend.providers.conftest import PNG
from tests.backend.providers.provider_server import Answer, served_provider


@pytest.fixture
async def outputs(server):
    fetcher = OutputFetcher(server.origin)
    yield fetcher
    await fetcher.close()


async def refused(outputs: OutputFetcher, image: OutputImage) -> ProviderFailed:
    with pytest.raises(ProviderFailed) as caught:
        await outputs.fetch(image)
    assert caught.value.code == "PROVIDER_OUTPUT_INVALID"
    return caught.value


@pytest.mark.parametrize(
    "head",
    [
        PNG,
        b"\xff\xd8\xff\xe0rest",
        b"RIFF\x00\x00\x00\x00WEBPVP8 ",
        b"\x00\x00\x00\x20ftypavif",
        b"GIF89a",
        b"II*\x00",
    ],
)
async def test_each_image_format_that_is_read_is_accepted(outputs, head: bytes) -> None:
    assert await outputs.fetch(OutputImage(data=head)) == head


async def test_data_uris_are_decoded(outputs) -> None:
    encoded = base64.b64encode(PNG).decode()
    assert await outputs.fetch(OutputImage(url=f"data:image/png;base64,{encoded}")) == PNG


@pytest.mark.parametrize(
    "image",
    [
        OutputImage(data=b"<!DOCTYPE html>"),
        OutputImage(data=b""),
        OutputImage(),
        OutputImage(url=""),
        OutputImage(url="data:image/png,raw"),
        OutputImage(url="data:image/png;base64,?"),
        OutputImage(url="not a url"),
        OutputImage(url="file:///etc/passwd"),
        OutputImage(url="http://cdn.example/a.png"),
        OutputImage(url="https://user:password@cdn.example/a.png"),
        OutputImage(url="https://cdn.example:8443/a.png"),
        OutputImage(url="https://127.0.0.1/a.png"),
        OutputImage(url="https://169.254.169.254/latest/meta-data"),
        OutputImage(url="https://[::1]/a.png"),
        OutputImage(url="https://localhost/a.png"),
    ],
)
async def test_nothing_else_is_fetched(outputs, image: OutputImage) -> None:
    await refused(outputs, image)


async def test_another_port_of_this_machine_is_not_fetched(server, outputs) -> None:
    """Only the provider's own address may be here, where the operator has put it here."""
    async with served_provider() as neighbour:
        neighbour.answers.append(Answer(PNG))
        await refused(outputs, OutputImage(url=f"{neighbour.origin}/a.png"))
        server.answers.append(Answer(b"", 302, {"Location": f"{neighbour.origin}/admin"}))
        await refused(outputs, OutputImage(url=f"{server.origin}/a.png"))
        assert neighbour.asked == []


async def test_a_redirect_at_the_same_address_is_followed_a_few_times(server, outputs) -> None:
    moved = Answer(b"", 302, {"Location": f"{server.origin}/b.png"})
    server.answers += [moved, Answer(PNG)]
    assert await outputs.fetch(OutputImage(url=f"{server.origin}/a.png")) == PNG
    server.answers.clear()
    server.answers.append(moved)
    await refused(outputs, OutputImage(url=f"{server.origin}/a.png"))


@pytest.mark.parametrize("status", [403, 404, 410, 204])
async def test_an_expired_output_is_final(server, outputs, status: int) -> None:
    server.answers.append(Answer(b"", status))
    error = await refused(outputs, OutputImage(url=f"{server.origin}/a.png"))
    assert error.provider_code == str(status)


@pytest.mark.parametrize(
    "answer", [Answer(b"", 500), Answer(b"", 429), Answer(PNG, way="half"), Answer(way="none")]
)
async def test_an_outage_is_waited_out(server, outputs, answer: Answer) -> None:
    server.answers.append(answer)
    with pytest.raises(ProviderUnavailable):
        await outputs.fetch(OutputImage(url=f"{server.origin}/a.png"))


async def test_a_compressed_output_is_refused(server, outputs) -> None:
    """Few bytes could become as many as our memory has."""
    server.answers.append(Answer(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}))
    error = await refused(outputs, OutputImage(url=f"{server.origin}/a.png"))
    assert error.provider_code == "encoding"


class EndlessStream(httpx.AsyncByteStream):
    """A body without an end."""

    def __init__(self) -> None:
        self.sent = 0

    async def __aiter__(self):
        while True:
            self.sent += 1_000_000
            yield bytes(1_000_000)


async def test_a_download_ends_at_the_cap() -> None:
    stream = EndlessStream()
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, stream=stream))
    outputs = OutputFetcher("https://api.example", transport)
    error = await refused(outputs, OutputImage(url="https://cdn.example/a.png"))
    assert "more than 25 MB" in error.failure.message
    assert stream.sent <= MAX_OUTPUT_BYTES + 2_000_000
    await outputs.close()


async def test_bytes_in_an_answer_have_the_same_cap(outputs) -> None:
    tracemalloc.start()
    try:
        await refused(outputs, OutputImage(data=PNG + bytes(MAX_OUTPUT_BYTES)))
        uri = "data:image/png;base64," + "A" * (MAX_OUTPUT_BYTES * 2)
        tracemalloc.reset_peak()
        await refused(outputs, OutputImage(url=uri))
        assert tracemalloc.get_traced_memory()[1] < 150_000_000
    finally:
        tracemalloc.stop()
