"""A connection is closed once it has been idle for too long, or takes nothing of a response."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from backend.http_protocol import LimitedProtocol

LIMIT = 75  # seconds
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Transport(asyncio.Transport):
    """A transport that only says whether it was closed, and what it has not sent yet."""

    is_closed = is_aborted = False
    unsent = 0  # bytes

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = self.is_aborted = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Nothing is kept of it."""

    def get_write_buffer_size(self) -> int:
        return self.unsent


@dataclass
class Timer:
    """A timer of `Clock`."""

    due: float
    callback: Callable[[], None] | None

    def cancel(self) -> None:
        self.callback = None


@dataclass
class Clock:
    """A loop's clock and timers, which the test moves on."""

    now: float = 0.0
    timers: list[Timer] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + delay, callback))
        return self.timers[-1]

    def waiting(self) -> list[Timer]:
        return [timer for timer in self.timers if timer.callback is not None]

    def advance(self, seconds: float) -> None:
        """Move on, and run what is due by then, at its own time."""
        until = self.now + seconds
        while due := [timer for timer in self.waiting() if timer.due <= until]:
            timer = min(due, key=lambda each: each.due)
            self.now, callback, timer.callback = timer.due, timer.callback, None
            assert callback is not None
            callback()
        self.now = until


async def unasked(_scope: Any, _receive: Any, _send: Any) -> None:
    """The app, to which no request comes."""


class Connection(LimitedProtocol):
    """A connection on a clock of its own."""

    def __init__(self) -> None:
        config = uvicorn.Config(unasked, log_config=None, timeout_keep_alive=LIMIT)
        super().__init__(config, ServerState(), {}, cast("Any", Clock()))
        self.clock = cast("Clock", self.loop)
        self.transport: Transport
        self.connection_made(Transport())

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Leave the response to the test."""


@pytest.fixture
def connection() -> Connection:
    return Connection()


def test_an_idle_connection_is_closed_at_its_limit(connection: Connection) -> None:
    answer(connection)
    assert is_closed_after(connection, LIMIT)


def test_a_connection_without_a_request_is_closed(connection: Connection) -> None:
    assert is_closed_after(connection, LIMIT)


def test_a_header_that_comes_byte_by_byte_does_not_keep_a_connection_open(
    connection: Connection,
) -> None:
    for byte in REQUEST[: LIMIT // 5 - 1]:
        connection.clock.advance(5)
        connection.data_received(bytes([byte]))
    assert is_closed_after(connection, 5)


def test_the_time_counts_from_the_last_response(connection: Connection) -> None:
    answer(connection)
    connection.clock.advance(LIMIT - 1)
    answer(connection)
    assert is_closed_after(connection, LIMIT)


def test_a_connection_in_use_is_not_closed(connection: Connection) -> None:
    answer(connection)
    connection.data_received(REQUEST)
    connection.clock.advance(10 * LIMIT)
    assert not connection.transport.is_closing()
    connection.on_response_complete()
    assert is_closed_after(connection, LIMIT)


def test_the_rest_of_a_body_that_was_answered_before_does_not_count(
    connection: Connection,
) -> None:
    connection.data_received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n1")
    connection.cycle.response_complete = True
    connection.on_response_complete()
    connection.clock.advance(LIMIT - 5)
    connection.data_received(b"2")
    assert is_closed_after(connection, 5)


def test_many_requests_need_one_timer(connection: Connection) -> None:
    for _ in range(100):
        answer(connection)
        connection.clock.advance(LIMIT / 1000)
    assert len(connection.clock.timers) == 1


def test_a_response_that_is_not_taken_does_not_keep_a_connection_open(
    connection: Connection,
) -> None:
    answer(connection)
    connection.transport.unsent = 1
    assert is_closed_after(connection, LIMIT)
    assert connection.transport.is_aborted, "closing waits until all is sent"


@pytest.mark.parametrize("refused", [False, True])
def test_the_last_response_does_not_keep_a_connection_open_if_it_is_not_taken(
    connection: Connection, refused: bool
) -> None:
    """Closing waits until it is sent; a small one does not pause the app's writing."""
    connection.data_received(REQUEST)
    connection.transport.unsent = 1
    connection.clock.advance(LIMIT)
    if refused:
        connection.send_400_response("")
    else:
        connection.cycle.response_complete = True
        connection.transport.close()
        connection.on_response_complete()
    connection.clock.advance(LIMIT - 1)
    assert connection.transport.is_closed and not connection.transport.is_aborted
    connection.clock.advance(1)
    assert connection.transport.is_aborted


def test_a_request_behind_a_response_that_is_not_taken_does_not_keep_a_connection_open(
    connection: Connection,
) -> None:
    answer(connection)
    connection.pause_writing()
    connection.data_received(REQUEST)
    assert is_closed_after(connection, LIMIT)
    assert connection.transport.is_aborted


def test_a_client_that_takes_a_response_slowly_is_not_cut_off(connection: Connection) -> None:
    connection.data_received(REQUEST)
    for _ in range(3):
        connection.pause_writing()
        connection.clock.advance(LIMIT - 1)
        connection.resume_writing()
    connection.clock.advance(LIMIT)
    assert not connection.transport.is_closing()


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
def test_a_lost_connection_leaves_no_timer(connection: Connection, error: Exception | None) -> None:
    answer(connection)
    connection.pause_writing()
    connection.connection_lost(error)
    assert connection.clock.waiting() == []


def answer(connection: Connection) -> None:
    """Receive a request and respond to it."""
    connection.data_received(REQUEST)
    connection.cycle.response_complete = True
    connection.on_response_complete()


def is_closed_after(connection: Connection, seconds: float) -> bool:
    """Whether the connection is closed after that time, and not a second before."""
    connection.clock.advance(seconds - 1)
    assert not connection.transport.is_closing()
    connection.clock.advance(1)
    return connection.transport.is_closing()
