"""What a failure is, how a code is defined, and which codes there are."""

from enum import StrEnum

import msgspec


class Noun(StrEnum):
    """What can fail. A batch's failures are those of its expansion and of its single items."""

    JOB = "job"
    PUBLICATION = "publication"
    BATCH = "batch"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A reason as it is stored and shown: a stable code, a sentence, and whether a retry can help.

    While work goes on, a retryable failure is tried again; afterwards the merchant can.
    """

    code: str
    message: str
    retryable: bool = False

    def with_message(self, message: str) -> "Failure":
        """The same reason, in the words of this one case."""
        return msgspec.structs.replace(self, message=message)


class Failed(Exception):
    """Work that cannot go on; `failure` tells why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.code}: {failure.message}")
        self.failure = failure

    @property
    def code(self) -> str:
        """The failure's code."""
        return self.failure.code


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A code as it is documented: what fails with it, its usual messages, and what to do."""

    code: str
    nouns: tuple[Noun, ...]
    messages: tuple[str, ...]
    retryable: bool
    advice: str


DEFINITIONS: dict[str, Definition] = {}


def define(code: str, message: str, *nouns: Noun, advice: str, retryable: bool = False) -> Failure:
    """A new code. `message` is its usual text, `advice` what a merchant or developer does next."""
    assert code not in DEFINITIONS, code
    DEFINITIONS[code] = Definition(
        code=code, nouns=nouns, messages=(message,), retryable=retryable, advice=advice
    )
    return Failure(code=code, message=message, retryable=retryable)


def variant(failure: Failure, message: str) -> Failure:
    """The same code with the message that another noun needs."""
    known = DEFINITIONS[failure.code]
    DEFINITIONS[failure.code] = msgspec.structs.replace(known, messages=(*known.messages, message))
    return failure.with_message(message)


def codes_of(*nouns: Noun) -> list[str]:
    """The codes with which any of these can fail, in alphabetical order."""
    return sorted(each.code for each in DEFINITIONS.values() if set(nouns) & set(each.nouns))
