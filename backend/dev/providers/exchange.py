"""One HTTP request to the stand-in provider, without a framework."""

from dataclasses import dataclass

from backend.dev.providers.requests import ProviderState


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request. The names of `headers` are lower case."""

    state: ProviderState
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
