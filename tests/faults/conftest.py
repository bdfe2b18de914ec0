"""What is proved here are promises: each gets a line with its figure at the end of the run.

A test says which promises it keeps by `@pytest.mark.promise(number, words, wanted=…)`, and tells
through `measured` what it has found and whether that will do. It fails where it does not.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pytest

Measured = Callable[[str, str, bool], None]
LONGEST = "test_webhook_storm.py"


@dataclass(kw_only=True)
class Line:
    """A promise as one test has found it."""

    number: str
    words: str
    wanted: str
    figure: str = "not measured"
    verdict: str = "BROKEN"

    def __str__(self) -> str:
        return (
            f"{self.number:<4} {self.words}: {self.figure}   (wanted {self.wanted})  {self.verdict}"
        )


LINES = pytest.StashKey[dict[str, list[Line]]]()


class Promises:
    """The lines of all tests, whichever process of the run they were measured in."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a test has found in the end."""
        if report.when == "teardown":
            told: dict[str, Any] = dict(report.user_properties)
            self.lines += [Line(**each) for each in told.get("promises", [])]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The promises, one a line."""
        if self.lines:
            terminalreporter.section("promises")
        for line in sorted(self.lines, key=lambda line: int(line.number.removeprefix("P"))):
            colour = {"green": line.verdict == "ok", "red": line.verdict != "ok"}
            terminalreporter.write_line(str(line), **colour)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and room for the lines."""
    config.addinivalue_line("markers", "promise(number, words, wanted): a line of the summary")
    config.stash[LINES] = {}
    config.pluginmanager.register(Promises(), "promises")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first: at the end, half of the processes would wait for it."""
    items.sort(key=lambda item: item.path.name != LONGEST)


@pytest.fixture
def record_promise(request: pytest.FixtureRequest) -> Measured:
    """Tell a promise's figure, and whether it is kept: of those that the test is marked with."""

    def tell(number: str, figure: str, is_kept: bool) -> None:
        (line,) = [each for each in lines_of(request.node) if each.number == number]
        line.figure, line.verdict = figure, "ok" if is_kept else "BROKEN"

    return tell


def lines_of(item: Any) -> list[Line]:
    """The test's lines, made when they are first asked for."""
    found: dict[str, list[Line]] = item.config.stash[LINES]
    if item.nodeid not in found:
        marks = reversed(list(item.iter_markers("promise")))
        found[item.nodeid] = [
            Line(number=mark.args[0], words=mark.args[1], wanted=mark.kwargs["wanted"])
            for mark in marks
        ]
    return found[item.nodeid]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail the test that has measured a broken promise, or has not measured one."""
    yield
    if broken := [line for line in lines_of(item) if line.verdict != "ok"]:
        pytest.fail("\n".join(map(str, broken)), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """A test that failed or was skipped has kept nothing, whatever it had measured before."""
    report: pytest.TestReport = yield
    lines = lines_of(item)
    for line in lines:
        if report.skipped and call.excinfo is not None:
            line.verdict, line.figure = "SKIPPED", str(call.excinfo.value)
        elif report.failed and all(each.verdict == "ok" for each in lines):
            line.verdict = "BROKEN"
    if report.when == "teardown":
        report.user_properties.append(("promises", [asdict(line) for line in lines]))
    return report
