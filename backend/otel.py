"""The only module that imports OpenTelemetry; `backend.tracing` loads it when traces are on.

Spans have names from the code and ids of jobs. They have no bodies, no URLs, no shops, and of an
error its class only, for a message may hold any of these.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, StatusCode, get_current_span
from pgqueuer.adapters.tracing.opentelemetry import OpenTelemetryTracing
from pgqueuer.ports.tracing import TRACER

SEND_REST = 3.0  # seconds that a process which stops leaves for its last spans
# Pages repeat them every second, and each is one statement: they would drown everything else.
UNTRACED = frozenset({"GET", "HEAD", "OPTIONS"})


class Recorder:
    """Records spans for a provider, which hands them to the exporter."""

    def __init__(self, provider: TracerProvider, exporter: SpanExporter) -> None:
        self.provider = provider
        self.exporter = exporter
        self.tracer = provider.get_tracer("atelier")

    @classmethod
    def over_http(cls, service: str) -> "Recorder":
        """One that sends to a collector. The SDK reads where, and how, from `OTEL_*` itself."""
        resource = Resource.create()
        if str(resource.attributes["service.name"]).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": service}))
        provider = TracerProvider(resource=resource)
        exporter = OTLPSpanExporter()
        provider.add_span_processor(BatchSpanProcessor(exporter))
        return cls(provider, exporter)

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Also have PgQueuer write the context into its entries, and go on with it at a worker."""
        TRACER.tracer = OpenTelemetryTracing(self.tracer)
        try:
            yield
        finally:
            TRACER.tracer = None
            self.stop()

    def stop(self) -> None:
        """Send what has not been sent; a collector that is away does not keep the process up."""
        give_up = threading.Timer(SEND_REST, self.exporter.shutdown)
        give_up.start()
        self.provider.shutdown()
        give_up.cancel()

    @contextlib.contextmanager
    def child(
        self, name: str, attributes: Mapping[str, str], *, is_call: bool
    ) -> Iterator[Span | None]:
        """A span in the current trace; none where no trace has begun.

        So a nightly sweep's thousands of calls are not as many traces.
        """
        if not get_current_span().get_span_context().is_valid:
            yield None
            return
        named = {f"atelier.{key}": value for key, value in attributes.items()}
        with self.span(name, SpanKind.CLIENT if is_call else SpanKind.INTERNAL, named) as span:
            yield span

    @contextlib.contextmanager
    def span(self, name: str, kind: SpanKind, attributes: Mapping[str, str]) -> Iterator[Span]:
        """A span around the block."""
        with self.tracer.start_as_current_span(
            name,
            kind=kind,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_status(StatusCode.ERROR)
                span.set_attribute("error.type", type(error).__qualname__)
                raise


class TracedRequests:
    """ASGI wrapper: a trace begins with each request that may change something.

    A caller's `traceparent` is not taken: clients must not choose our traces or what is sampled.
    """

    def __init__(self, app: Any, recorder: Recorder) -> None:
        self.app = app
        self.recorder = recorder

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer the request within a span."""
        if scope["type"] != "http" or scope["method"] in UNTRACED:
            await self.app(scope, receive, send)
            return

        async def send_and_describe(message: Any) -> None:
            if message["type"] == "http.response.start":
                describe_request(span, scope, int(message["status"]))
            await send(message)

        with self.recorder.span("request", SpanKind.SERVER, {}) as span:
            await self.app(scope, receive, send_and_describe)


def describe_request(span: Span, scope: Any, status: int) -> None:
    """What is known of a request once it is answered, its route among it."""
    route = scope.get("path_template", "unmatched")
    span.update_name(f"{scope['method']} {route}")
    span.set_attribute("http.request.method", scope["method"])
    span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR)
