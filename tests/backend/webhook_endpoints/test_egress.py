"""No delivery leaves for anything but a checked address of the public internet."""

import asyncio
import os
import socket
import threading
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from backend.ssrf_transport import PublicInternet
from backend.webhook_endpoints.attempts import OutgoingEvent, attempt_delivery
from backend.webhook_endpoints.secrets import new_secret
from tests.wait import wait_until


class Dialled(httpx.AsyncBaseTransport):
    """Notes the addresses that are dialled, and reaches none."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int | None, str]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Fail as if nobody listened."""
        host = request.headers["host"]
        self.calls.append((request.url.host, request.url.port, host))
        raise httpx.ConnectError("nobody listens", request=request)


def transport(
    *answers: Sequence[str], ports: frozenset[int] = frozenset({443})
) -> tuple[PublicInternet, Dialled]:
    """The transport of a deployment over a DNS that answers with these in turn."""
    left = list(answers)

    async def resolve(_host: str) -> Sequence[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    checked, dialled = PublicInternet(resolve, ports=ports), Dialled()
    checked.transport = dialled  # type: ignore[assignment]
    return checked, dialled


def event(url: str) -> OutgoingEvent:
    """Something to send there."""
    return OutgoingEvent(event_id="evt_1", body="{}", url=url, secrets=(new_secret(),))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1",
        "fd00:ec2::254",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
    ],
)
async def test_a_name_that_leads_inside_is_not_dialled(address: str) -> None:
    for answers in ([address], ["8.8.8.8", address]):
        checked, dialled = transport(answers)
        result = await attempt_delivery(checked, event("https://hooks.example.com/"))
        assert (result.error, result.status) == ("ADDRESS_NOT_PUBLIC", None)
        assert dialled.calls == []


async def test_the_checked_address_is_the_one_that_is_dialled() -> None:
    checked, dialled = transport(["8.8.8.8"], ["127.0.0.1"])  # the second answer is a rebinding
    result = await attempt_delivery(checked, event("https://hooks.example.com/"))
    assert result.error == "CONNECTION_FAILED"
    assert dialled.calls == [("8.8.8.8", None, "hooks.example.com")]
    result = await attempt_delivery(checked, event("https://hooks.example.com/"))
    assert result.error == "ADDRESS_NOT_PUBLIC"
    assert len(dialled.calls) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "https://hooks.example.com:8080/",
        "https://user:word@hooks.example.com/",
    ],
)
async def test_other_schemes_ports_and_credentials_are_not_dialled(url: str) -> None:
    checked, dialled = transport(["8.8.8.8"])
    assert (await attempt_delivery(checked, event(url))).error == "ADDRESS_NOT_PUBLIC"
    assert dialled.calls == []


async def test_a_port_of_the_settings_is_dialled() -> None:
    checked, dialled = transport(["8.8.8.8"], ports=frozenset({443, 8443}))
    await attempt_delivery(checked, event("https://hooks.example.com:8443/"))
    assert dialled.calls == [("8.8.8.8", 8443, "hooks.example.com:8443")]


async def test_hosts_whose_name_servers_are_silent_do_not_delay_other_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such as Shopify's: a call cannot even begin before its host is resolved."""
    answer, look_up = threading.Event(), socket.getaddrinfo
    begun: list[object] = []

    def silent_for_merchants(host: Any, *given: Any, **named: Any) -> Any:
        if not str(host).endswith(".example.com"):
            return look_up(host, *given, **named)
        begun.append(host)
        answer.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", silent_for_merchants)
    many = 2 * ((os.cpu_count() or 1) + 4)  # twice the threads that asyncio has by default
    internet = PublicInternet()
    events = (event(f"https://hooks{n}.example.com/") for n in range(many))
    attempts = [asyncio.create_task(attempt_delivery(internet, each)) for each in events]
    try:
        await wait_until(lambda: begun)
        async with asyncio.timeout(5):
            assert await asyncio.get_running_loop().getaddrinfo("localhost", 443)
        await wait_until(lambda: len(begun) == many)  # nor do they delay each other
    finally:
        answer.set()
        results = await asyncio.gather(*attempts)
        await internet.aclose()
    assert {result.error for result in results} == {"CONNECTION_FAILED"}
