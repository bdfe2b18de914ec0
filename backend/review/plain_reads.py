"""The page's first screen, the review, for the fast path."""

import re
from functools import partial

from backend.jobs.fast_path import PlainRead
from backend.review.listing import ReviewRequest, read_review
from backend.review.schemas import DEFAULT_CARDS, MAX_CARDS, ReviewState

REVIEW_PATH = "/v1/review"
REVIEW_QUERY = re.compile(rb"state=(?P<state>[a-z]{1,16})&limit=(?P<limit>[1-9][0-9]{0,2})")
STATES = {state.value.encode(): state for state in ReviewState}


def plain_review(path: str, query: bytes) -> PlainRead | None:
    """The first page of the review: of a tab, or without a query."""
    if path != REVIEW_PATH:
        return None
    wanted = first_page(query)
    if wanted is None:
        return None
    return PlainRead(REVIEW_PATH, partial(read_review, wanted=wanted, path=path))


def first_page(query: bytes) -> ReviewRequest | None:
    """What the query asks for, if it is one that a page sends and is valid."""
    if not query:
        return ReviewRequest(state=ReviewState.WAITING, limit=DEFAULT_CARDS, cursor=None)
    found = REVIEW_QUERY.fullmatch(query)
    if found is None or found["state"] not in STATES or int(found["limit"]) > MAX_CARDS:
        return None
    return ReviewRequest(state=STATES[found["state"]], limit=int(found["limit"]), cursor=None)
