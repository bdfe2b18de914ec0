"""Traces begin with what changes something, have names from the code, and need variables to be."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from backend.dev.services import LocalServices
from backend.errors import ConfigurationError
from backend.otel import Recorder
from backend.renderers.base import Renderer
from backend.tracing import is_tracing_wanted, recorded_by, span, traced_process
from tests.conftest import settings_for
from tests.running_app import open_running_app

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
FROM_OUTSIDE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Where this process's spans go."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with recorded_by(Recorder(provider, exporter)):
        yield exporter


def named(spans: Sequence[ReadableSpan], name: str) -> list[ReadableSpan]:
    """Those of that name."""
    return [each for each in spans if each.name == name]


def trace_of(recorded: ReadableSpan) -> str:
    """Its trace, as a `traceparent` writes it."""
    assert recorded.context
    return f"{recorded.context.trace_id:032x}"


async def test_jobs_and_their_stages_belong_to_the_trace_of_their_webhook(
    spans: InMemorySpanExporter, services: LocalServices, database_url: str, renderer: Renderer
) -> None:
    settings = settings_for(services, database_url)
    async with open_running_app(settings, renderer) as running_app:
        await running_app.install()
        spans.clear()
        job_id = await running_app.finished_job()
        assert (await running_app.detail(job_id)).json()["status"] == "SUCCESS"
        recorded = spans.get_finished_spans()
        assert {trace_of(each) for each in recorded} == {
            trace_of(root) for root in named(recorded, "POST /webhooks")
        }
        [stage] = named(recorded, "stage segment")
        assert stage.attributes and stage.attributes["atelier.job_id"] == job_id
        [call] = named(recorded, "shopify ProductForJob")
        assert call.kind is SpanKind.CLIENT

        spans.clear()
        answer = await running_app.http.post(
            "/v1/catalog-image",
            content="{",
            headers={**running_app.bearer(), "traceparent": FROM_OUTSIDE},
        )
        [refused] = spans.get_finished_spans()
    assert refused.name == "POST /v1/catalog-image"
    assert refused.attributes
    assert refused.attributes["http.response.status_code"] == answer.status_code
    assert trace_of(refused) not in FROM_OUTSIDE, "a caller does not choose our traces"


def test_a_span_has_the_class_of_an_error_and_not_its_message(spans: InMemorySpanExporter) -> None:
    recorder = Recorder(TracerProvider(), spans)
    recorder.provider.add_span_processor(SimpleSpanProcessor(spans))
    with (
        pytest.raises(KeyError),
        recorder.span("request", SpanKind.SERVER, {}),
        recorder.child("s3 put", {}, is_call=True),
    ):
        raise KeyError("north.myshopify.com")
    [child, _] = spans.get_finished_spans()
    assert (child.name, child.status.status_code) == ("s3 put", StatusCode.ERROR)
    assert child.attributes == {"error.type": "KeyError"}
    assert "north" not in child.to_json()


def test_outside_of_a_trace_nothing_is_recorded(spans: InMemorySpanExporter) -> None:
    with span("s3 put", is_call=True):
        pass
    assert spans.get_finished_spans() == ()


@pytest.mark.parametrize(
    ("environ", "is_wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "atelier"}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_the_standard_variables_turn_traces_on(environ: Mapping[str, str], is_wanted: bool) -> None:
    assert is_tracing_wanted(environ) is is_wanted


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
)
def test_what_is_not_supported_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        is_tracing_wanted({**ENDPOINT, name: value})


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "backend.otel")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with (
        pytest.raises(ConfigurationError, match=r"pip install atelier\[otel\]"),
        traced_process("atelier-web", ENDPOINT),
    ):
        pass


def test_a_collector_that_is_away_does_not_keep_a_process_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("backend.otel.SEND_REST", 0.2)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    recorder = Recorder.over_http("atelier-web")
    started = time.monotonic()
    with recorded_by(recorder), recorder.span("request", SpanKind.SERVER, {}):
        pass
    assert time.monotonic() - started < 5
