"""Every log line is one JSON object, whichever API wrote it."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from backend.logs import configure_logging, log_briefly


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
