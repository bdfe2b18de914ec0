"""Structured logs: one JSON object per line on stderr, with the ids of the request or job.

Logged: method, path template, status, ids, error codes. Never: headers, bodies, query strings
(they carry credentials and presigned URLs).

Our own lines are written by structlog directly: the standard library's logging took a seventh of
the time of a job detail. Libraries' log lines go through the standard library and look the same.

Access log lines are written together, at most `WRITE_WITHIN` seconds late; any other line is
written at once, after those before it. A process that is killed loses the lines of that time.
"""

import asyncio
import atexit
import logging
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TextIO

import msgspec
import structlog

WRITE_WITHIN = 0.05  # seconds
MAX_WAITING_LINES = 500
OUR_LINES = msgspec.json.Encoder(enc_hook=repr)  # a value that JSON cannot represent is shown

LIBRARY_PROCESSORS: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


def configure_logging(level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Write our own and all libraries' log lines to `stream` (default: stderr) as JSON."""
    lines = LineStream(stream or sys.stderr)
    atexit.register(lines.flush)
    structlog.configure(
        processors=[LineRenderer(lines, level)],
        logger_factory=partial(LinePrinter, lines),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=LIBRARY_PROCESSORS,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=log_line),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for chatty in ("httpx", "httpcore", "botocore", "alembic.runtime.plugins"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class LineStream:
    """What all lines of a process are written to: whole, and in order."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.lock = threading.RLock()
        self.waiting: list[str] = []
        self.flushing_loop: asyncio.AbstractEventLoop | None = None

    def write(self, text: str) -> None:
        """Add whole lines, which `flush` writes."""
        with self.lock:
            self.waiting.append(text)

    def write_soon(self, line: str) -> None:
        """Add a line, to be written with those that follow soon."""
        with self.lock:
            self.waiting.append(line)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is None or len(self.waiting) >= MAX_WAITING_LINES:
            self.flush()
        elif loop is not self.flushing_loop:
            self.flushing_loop = loop
            loop.call_later(WRITE_WITHIN, self.flush)

    def flush(self) -> None:
        """Write the lines that wait, at once: other processes may write to the same stream."""
        with self.lock:
            self.flushing_loop = None
            if self.waiting:
                text, self.waiting = "".join(self.waiting), []
                self.stream.write(text)
                self.stream.flush()


class LineRenderer:
    """The only structlog processor: does the work of `LIBRARY_PROCESSORS` in one step."""

    def __init__(self, lines: LineStream, level: int) -> None:
        self.lines = lines
        self.level = level

    def __call__(self, logger: Any, level: str, event: Any) -> str:
        """Render one of our own events as a line."""
        event = structlog.contextvars.merge_contextvars(logger, level, event)
        event = structlog.processors.add_log_level(logger, level, event)
        event["logger"] = logger.name
        event["timestamp"] = datetime.now(UTC)  # msgspec writes it in RFC 3339
        if "exc_info" in event:
            event = structlog.processors.format_exc_info(logger, level, event)
        return OUR_LINES.encode(event).decode()

    def write(self, name: str, event: str, fields: dict[str, Any]) -> None:
        """Write an `info` line of that logger soon, without bound fields; completes `fields`."""
        if self.level > logging.INFO:
            return
        fields["event"], fields["level"], fields["logger"] = event, "info", name
        fields["timestamp"] = datetime.now(UTC)
        self.lines.write_soon(f"{OUR_LINES.encode(fields).decode()}\n")


def log_briefly(name: str, event: str, **fields: Any) -> None:
    """Log an `info` line without structlog's overhead.

    For the access-log line of each request, which took a tenth of the time of a job detail.
    """
    first = structlog.get_config()["processors"][0]
    if isinstance(first, LineRenderer):
        first.write(name, event, fields)
    else:  # another configuration, as when a test captures it
        structlog.get_logger(name).info(event, **fields)


def log_line(event: Any, default: Callable[[Any], Any]) -> str:
    """One line; `default` converts values that JSON cannot represent."""
    return msgspec.json.encode(event, enc_hook=default).decode()


class LinePrinter:
    """structlog's logger for the module `name`."""

    def __init__(self, lines: LineStream, name: str) -> None:
        self.lines = lines
        self.name = name

    def msg(self, line: str) -> None:
        """Write a line at once."""
        self.lines.write(f"{line}\n")
        self.lines.flush()

    debug = info = warning = error = critical = exception = msg
