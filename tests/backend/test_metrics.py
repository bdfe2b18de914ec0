"""Metrics are served on an address of their own, and only where one is set."""

import socket

import httpx
import pytest

from backend.errors import ConfigurationError
from backend.metrics import EVENT_LOOP_LAG, served_metrics


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_the_figures_are_served_until_the_block_ends() -> None:
    EVENT_LOOP_LAG.set(0.125)
    address = f"127.0.0.1:{free_port()}"
    with served_metrics(address):
        text = httpx.get(f"http://{address}/metrics").text
    assert "atelier_event_loop_lag_seconds 0.125" in text
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{address}/metrics")


def test_without_an_address_nothing_is_served() -> None:
    with served_metrics(""):
        pass


@pytest.mark.parametrize("listen", ["9464", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000"])
def test_a_malformed_address_is_refused_with_an_example(listen: str) -> None:
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1:9464"), served_metrics(listen):
        pass


def test_an_address_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=address), served_metrics(address):
            pass
