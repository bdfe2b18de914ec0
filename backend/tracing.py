"""OpenTelemetry traces, for operators who set the standard `OTEL_*` variables: else nothing.

One trace leads from the request that brings a webhook, or asks for a job, to the pictures: its
context travels in the headers of the queue's entries. Off, nothing of OpenTelemetry is imported,
and a hook costs a comparison. Its packages are the extra `otel`.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from backend.errors import ConfigurationError

if TYPE_CHECKING:
    from backend.otel import Recorder

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HTTP_PROTOBUF = "http/protobuf"
NO_SPAN: AbstractContextManager[None] = contextlib.nullcontext()


class Tracing:
    """Who records this process's spans: nobody, unless traces are on."""

    recorder: "Recorder | None" = None


@contextlib.contextmanager
def traced_process(service: str, environ: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Send traces of the service, if they are asked for, until the block ends.

    Raises `ConfigurationError` when they are, and cannot be sent.
    """
    if not is_tracing_wanted(environ):
        yield
        return
    try:
        from backend.otel import Recorder  # noqa: PLC0415  # takes long, and may not be installed
    except ImportError as error:
        raise ConfigurationError(
            "OTEL_* asks for traces, but OpenTelemetry is not installed: pip install atelier[otel]."
        ) from error
    with recorded_by(Recorder.over_http(service)):
        yield


def is_tracing_wanted(environ: Mapping[str, str]) -> bool:
    """Whether the variables ask for traces. Raises `ConfigurationError` for what we do not have."""
    exporter = environ.get("OTEL_TRACES_EXPORTER", "")
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter == "none":
        return False
    if exporter not in {"", "otlp"}:
        raise ConfigurationError(f"OTEL_TRACES_EXPORTER must be otlp or none, not {exporter!r}.")
    if not exporter and not any(environ.get(name) for name in ENDPOINTS):
        return False
    protocol = next((environ[name] for name in PROTOCOLS if environ.get(name)), HTTP_PROTOBUF)
    if protocol != HTTP_PROTOBUF:
        raise ConfigurationError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL must be {HTTP_PROTOBUF}, not {protocol!r}."
        )
    return True


@contextlib.contextmanager
def recorded_by(recorder: "Recorder") -> Iterator[None]:
    """Have all spans recorded by it until the block ends."""
    Tracing.recorder = recorder
    try:
        with recorder.recording():
            yield
    finally:
        Tracing.recorder = None


def span(name: str, *, is_call: bool = False, **attributes: str) -> AbstractContextManager[Any]:
    """A span around the block, where a trace has begun. `is_call`: it waits for another service."""
    if Tracing.recorder is None:
        return NO_SPAN
    return Tracing.recorder.child(name, attributes, is_call=is_call)


def traced_requests(app: Any) -> Any:
    """The ASGI app, with a trace for each request that may change something; itself when off."""
    if Tracing.recorder is None:
        return app
    from backend.otel import TracedRequests  # noqa: PLC0415  # is loaded by now

    return TracedRequests(app, Tracing.recorder)
