"""A job's progress in a terminal: one bar, moved by the job's latest event."""

from collections.abc import AsyncIterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from backend.jobs.schemas import JobDetailResponse
from backend.jobs.states import UNFINISHED


async def watched(details: AsyncIterator[JobDetailResponse], console: Console) -> JobDetailResponse:
    """Show each detail as it comes; the first of a finished job is returned."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("Waiting", total=None)
        async for detail in details:
            if event := detail.latest_event:
                bar.update(task, description=event.message)
                if steps := event.extra.get("progress"):
                    bar.update(task, completed=steps["done"], total=steps["total"])
            if detail.status not in UNFINISHED:
                return detail
    raise AssertionError("the stream of details ended before the job did")
