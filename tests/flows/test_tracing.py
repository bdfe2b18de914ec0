"""One trace leads from a webhook to its pictures, through a web process, the queue and a worker."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from tests.flows.processes import (
    STAGES,
    running_worker_process,
    wait_for_end,
    wait_for_row,
    web_process,
)
from tests.running_app import SHOP, RunningApp

WHEN_OFF = """
import sys
import backend.app, backend.cli, backend.worker.run
from backend.tracing import span, traced_process
with traced_process("atelier-web", {}), span("s3 put", is_call=True):
    print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


class Collector:
    """What an OTLP receiver on loopback has been sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.endpoint = ""

    @property
    def spans(self) -> list[tuple[str, Span]]:
        """Each span with the name of the service that sent it."""
        return [
            (service_of(sent), span)
            for body in self.bodies
            for sent in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in sent.scope_spans
            for span in scope.spans
        ]


def service_of(sent: ResourceSpans) -> str:
    """The `service.name` of what was sent."""
    [name] = [each.value for each in sent.resource.attributes if each.key == "service.name"]
    return str(name.string_value)


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A receiver that takes all that is sent."""
    collected = Collector()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collected.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        collected.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield collected
        server.shutdown()
        thread.join()


@pytest.mark.slow
async def test_one_trace_leads_from_a_webhook_to_its_pictures(
    running_app: RunningApp, collector: Collector, tmp_path: Path
) -> None:
    await running_app.install()
    product = running_app.product()
    asked = "SELECT public_id FROM jobs WHERE request->>'product_id' = :gid"
    # What is due only in a minute, a process sends when it stops.
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "60000",
    }
    log = tmp_path / "log"
    async with contextlib.AsyncExitStack() as processes:
        running_app.shopify.app_url = await processes.enter_async_context(
            web_process(running_app, log, **variables)
        )
        await processes.enter_async_context(running_worker_process(running_app, log, **variables))
        assert (await running_app.send("products/create")).status_code == 200
        await wait_for_row(running_app, asked, gid=product.gid)
        [row] = await running_app.rows(asked, gid=product.gid)
        assert (await wait_for_end(running_app, row["public_id"]))["status"] == "SUCCESS"
    spans = collector.spans  # a process sends the rest when it stops
    [(service, root)] = [each for each in spans if each[1].name == "POST /webhooks"]
    assert service == "atelier-web"
    assert {span.trace_id for _, span in spans} == {root.trace_id}
    assert {span.parent_span_id for _, span in spans} <= {span.span_id for _, span in spans} | {b""}
    named = {name: [span for _, span in spans if span.name == name] for _, name in names(spans)}
    for name in (
        *("send handle_webhook", "process handle_webhook", "webhook products/create"),
        *("shopify ProductForJob", "send run_job", "process run_job", "shopify photo"),
        *(f"stage {stage}" for stage in STAGES),
    ):
        assert len(named[name]) == 1, name
    stages = {span.span_id for stage in STAGES for span in named[f"stage {stage}"]}
    assert {span.parent_span_id for span in named["s3 put"]} <= stages
    assert {service for service, span in spans if span.name == "s3 put"} == {"atelier-worker"}
    assert SHOP.encode() not in b"".join(collector.bodies)
    assert row["public_id"].encode() in b"".join(collector.bodies)


def names(spans: list[tuple[str, Span]]) -> list[tuple[str, str]]:
    """Who has sent spans of which names."""
    return [(service, span.name) for service, span in spans]


@pytest.mark.slow
def test_without_the_variables_nothing_of_opentelemetry_is_imported() -> None:
    told = subprocess.run(
        [sys.executable, "-c", WHEN_OFF], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"
