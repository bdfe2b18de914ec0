"""A job's progress in a terminal: one bar, advanced by each event."""

from collections.abc import AsyncIterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from backend.jobs.schemas import JobEventResponse

FINAL = {"succeeded", "failed"}


async def show_progress(
    events: AsyncIterator[JobEventResponse], console: Console
) -> JobEventResponse:
    """Show each event; the one that ends the job is returned.

    Without a terminal, each event is a line.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        async for event in events:
            bar.update(task, description=event.message)
            if steps := event.extra.get("progress"):
                bar.update(task, completed=steps["done"], total=steps["total"])
            if not console.is_terminal:
                console.print(f"{event.seq}. {event.message}")
            if event.event_type in FINAL:
                return event
    raise AssertionError("the stream of events ended before the job did")
