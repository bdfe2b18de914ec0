"""`atelier demo` and `atelier dev`: two jobs from request to download, and a running stack."""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
from rich.console import Console

from backend.dev.stack import SHOP, Stack, StackError, local_stack
from backend.jobs.progress import show_progress
from backend.jobs.schemas import JobDetailResponse
from backend.jobs.states import JobStatus

GARMENT = "tee_navy"
JOB_TIMEOUT = 120  # seconds


async def run_demo(*, output: Path, as_json: bool) -> None:
    """A job of ours and a hosted one, to verified downloads; only `output` is left afterwards."""
    console = Console(stderr=True, highlight=False)
    with stoppable():
        console.print("Starting Postgres, SeaweedFS, the stand-ins, web and worker …")
        async with local_stack() as stack:
            await stack.install()
            console.print(f"Installed in {SHOP} by token exchange")
            product, public_id = await stack.make_demo_job(GARMENT)
            console.print(f"Sent a signed products/create webhook for “{product.title}”: 200")
            hosted_id = await stack.make_hosted_job(product)  # beside the other, to save time
            detail = await watched_job(stack, public_id, console)
            print_detail(detail, console if as_json else Console(highlight=False))
            await download_all(detail, output, console)
            await show_hosted_job(stack, hosted_id, output, console)
            if as_json:
                print(msgspec.json.encode(detail).decode())


async def run_dev(port: int | None) -> None:
    """The same, kept running until Ctrl-C or SIGTERM; one line of JSON says that it is ready."""
    console = Console(stderr=True, highlight=False)
    with stoppable(), contextlib.suppress(asyncio.CancelledError):
        async with local_stack(port) as stack:
            await stack.install()
            product, public_id = await stack.make_demo_job(GARMENT)
            await watched_job(stack, public_id, console)
            ready = {
                "base_url": stack.base_url,
                "shop": SHOP,
                "admin_url": stack.shopify.admin_url(SHOP),
                "api_key": stack.settings.shopify_api_key,
                "product_id": product.gid,  # as the API takes it
                "job_id": public_id,
                "provider_url": stack.provider.origin,
                "pid": os.getpid(),
            }
            print(json.dumps(ready), flush=True)
            console.print("Running; stop with Ctrl-C.")
            await stack.until_one_ends()


async def show_hosted_job(stack: Stack, public_id: str, output: Path, console: Console) -> None:
    """The garment on a person, by the stand-in for FASHN; its picture says that it is one."""
    console.print(
        "Asked for the garment on a person: POST /v1/product-to-model-direct. Its stage `dress` is "
        f"made by a STAND-IN for FASHN at {stack.provider.origin}: no key, no cost, no real person"
    )
    detail = await watched_job(stack, public_id, console)
    require_success(detail)
    await download_all(detail, output, console)
    requests = [f"{each.model.name}, {each.units:g} credit" for each in stack.provider.predictions]
    console.print(f"The stand-in counted {len(requests)} request: {'; '.join(requests)}")


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM and Ctrl-C cancel the current task, so that every block gets to clean up."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def watched_job(stack: Stack, public_id: str, console: Console) -> JobDetailResponse:
    """The finished job; meanwhile a bar shows each stage as its event arrives."""
    async with asyncio.timeout(JOB_TIMEOUT):
        await show_progress(stack.events(public_id), console)
        return await stack.job(public_id)


def print_detail(detail: JobDetailResponse, console: Console) -> None:
    """What `GET /v1/jobs/{public_id}` answered."""
    console.print(f"GET /v1/jobs/{detail.public_id}")
    console.print_json(msgspec.json.encode(detail).decode())
    require_success(detail)


def require_success(detail: JobDetailResponse) -> None:
    """Raise `StackError` unless the job ended well."""
    if detail.status != JobStatus.SUCCESS:
        raise StackError(f"The demo job ended as {detail.status}.")


async def download_all(detail: JobDetailResponse, output: Path, console: Console) -> None:
    """Every final artifact by its presigned URL, compared with the sha256 in its meta."""
    output.mkdir(parents=True, exist_ok=True)
    async with httpx.AsyncClient(timeout=30) as http:
        for artifact in detail.result:
            meta = artifact.meta
            response = await http.get(artifact.image_url)
            response.raise_for_status()
            if hashlib.sha256(response.content).hexdigest() != meta["sha256"]:
                raise StackError(f"{artifact.label}: the download's sha256 does not match.")
            extension = meta["content_type"].rpartition("/")[2].replace("jpeg", "jpg")
            path = output / f"{artifact.kind}_{meta['width']}.{extension}"
            path.write_bytes(response.content)
            console.print(f"{path}  {len(response.content):,} bytes  sha256 ok  {meta['verdict']}")
