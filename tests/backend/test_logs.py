"""Every log line is one JSON object, whichever API wrote it."""

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from backend.logs import MAX_WAITING_LINES, configure_logging, log_briefly
from tests.wait import wait_until


@pytest.fixture
def log_stream() -> Iterator[io.StringIO]:
    """What is logged, on a process' own terms; other tests find theirs again."""
    root = logging.getLogger()
    before = structlog.get_config(), root.handlers, root.level
    stream = io.StringIO()
    configure_logging(stream=stream)
    yield stream
    structlog.configure(**before[0])
    root.handlers, root.level = before[1:]


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """The lines, each without its time."""
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all(line.pop("timestamp").endswith("Z") for line in found)
    return found


def test_every_logging_api_writes_the_same_line(log_stream: io.StringIO) -> None:
    structlog.get_logger("a.module").info("done", status=200)
    log_briefly("a.module", "done", status=200)
    logging.getLogger("a.module").info("done")
    expected = {"event": "done", "level": "info", "logger": "a.module", "status": 200}
    short = {name: value for name, value in expected.items() if name != "status"}
    assert lines(log_stream) == [expected, expected, short]


def test_a_bug_is_logged_with_its_traceback_and_context(log_stream: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        try:
            raise RuntimeError("so it goes")
        except RuntimeError as error:
            structlog.get_logger("a.module").error("bug", exc_info=error)
    (line,) = lines(log_stream)
    assert (line["level"], line["request_id"]) == ("error", "r-1")
    assert line["exception"].endswith("RuntimeError: so it goes")


def test_lines_below_the_level_are_not_written(log_stream: io.StringIO) -> None:
    configure_logging(logging.WARNING, log_stream)
    structlog.get_logger("another.module").info("done")
    log_briefly("another.module", "done")
    assert log_stream.getvalue() == ""


def test_captured_logs_include_brief_lines(log_stream: io.StringIO) -> None:
    with structlog.testing.capture_logs() as captured:
        log_briefly("a.module", "done", status=200)
    assert captured == [{"event": "done", "status": 200, "log_level": "info"}]
    assert log_stream.getvalue() == ""


async def test_brief_lines_are_written_together_and_soon(log_stream: io.StringIO) -> None:
    for number in range(3):
        log_briefly("a.module", "done", number=number)
    assert log_stream.getvalue() == ""
    await wait_until(log_stream.getvalue)
    assert [line["number"] for line in lines(log_stream)] == [0, 1, 2]


async def test_lines_of_a_loop_that_has_ended_are_written_by_the_next(
    log_stream: io.StringIO,
) -> None:
    async def log_in_a_loop() -> None:
        log_briefly("a.module", "first")

    await asyncio.to_thread(asyncio.run, log_in_a_loop())
    log_briefly("a.module", "second")
    await wait_until(log_stream.getvalue)
    assert [line["event"] for line in lines(log_stream)] == ["first", "second"]


async def test_any_other_line_is_written_at_once_after_those_that_wait(
    log_stream: io.StringIO,
) -> None:
    log_briefly("a.module", "first")
    structlog.get_logger("a.module").info("second")
    log_briefly("a.module", "third")
    logging.getLogger("a.library").info("fourth")
    assert [line["event"] for line in lines(log_stream)] == ["first", "second", "third", "fourth"]


async def test_only_so_many_lines_wait(log_stream: io.StringIO) -> None:
    for _ in range(MAX_WAITING_LINES):
        log_briefly("a.module", "done")
    assert len(lines(log_stream)) == MAX_WAITING_LINES


ENDING = """
import asyncio, logging, sys
from backend.logs import configure_logging, log_briefly
configure_logging()
async def main():
    log_briefly("a.module", "done")
    {end}
asyncio.run(main())
"""


@pytest.mark.parametrize("end", ["return", "sys.exit(3)", "raise RuntimeError"])
def test_no_line_is_lost_when_a_process_ends(end: str) -> None:
    command = [sys.executable, "-c", ENDING.format(end=end)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert '"event":"done"' in ended.stderr
