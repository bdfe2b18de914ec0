"""The faults of the stand-in provider, by name, and in which step of a request each occurs.

Each is ordered once and met by the next request that gets as far as its step. `order_fault` is the
method for tests; over HTTP it is `POST /stand-in/faults` with `{"name": …, "times": …}`.

Nothing was accepted after `rate_limited`, `concurrency_limited`, `out_of_credits`, `server_error`
and `hang`; after `answer_lost` it was. `callback_forged` sends a false callback at once, and the
true one later; `callback_early` sends it before the answer to the request. What is wrong with an
output (`wrong_bytes`, `expired_output`) shows when it is fetched.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal, get_args

Step = Literal["submit", "status", "work", "callback", "output"]

ProviderFaultName = Literal[
    "rate_limited",
    "concurrency_limited",
    "out_of_credits",
    "server_error",
    "hang",
    "answer_lost",
    "status_error",
    "moderation",
    "pose_not_found",
    "failed",
    "slow",
    "never_finishes",
    "callback_twice",
    "callback_late",
    "callback_forged",
    "callback_early",
    "callback_lost",
    "wrong_bytes",
    "expired_output",
]

_STEPS: dict[str, Step] = {
    "status_error": "status",
    "moderation": "work",
    "pose_not_found": "work",
    "failed": "work",
    "slow": "work",
    "never_finishes": "work",
    "wrong_bytes": "output",
    "expired_output": "output",
}


def step_of(name: ProviderFaultName) -> Step:
    """In which step of a request the fault occurs."""
    return _STEPS.get(name, "callback" if name.startswith("callback_") else "submit")


@dataclass(frozen=True, slots=True)
class OrderedFault:
    """A fault to come.

    `seconds` is how long `hang` and `slow` take, how late `callback_late` is, and what a 429 says
    in Retry-After.
    """

    name: ProviderFaultName
    seconds: float


class ProviderFaults:
    """The faults that are due, in the order in which they were ordered."""

    def __init__(self) -> None:
        self._due: dict[Step, deque[OrderedFault]] = {step: deque() for step in get_args(Step)}

    def order(self, name: ProviderFaultName, times: int = 1, *, seconds: float = 2.0) -> None:
        """Have the next requests meet this fault. Raises ValueError for a name that is none."""
        if name not in get_args(ProviderFaultName):
            raise ValueError(
                f"no fault {name!r}; there are {', '.join(get_args(ProviderFaultName))}"
            )
        self._due[step_of(name)].extend([OrderedFault(name, seconds)] * times)

    def take(self, step: Step) -> OrderedFault | None:
        """The fault that is due in this step, which is then no longer due."""
        return self._due[step].popleft() if self._due[step] else None

    def clear(self) -> None:
        """Forget what was ordered and not met."""
        for due in self._due.values():
            due.clear()
