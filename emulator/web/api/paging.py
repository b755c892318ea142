"""Pages of a list, newest first: `limit` items that are older than the number `before`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from flask import request

from emulator.web.api.body import RequestError

DEFAULT_LIMIT, MAX_LIMIT = 50, 500

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page; `total` counts all matching items, and `next` is the next page's `before`, or None."""

    items: Sequence[T]
    total: int
    next: int | None

    def as_json(self) -> dict[str, int | None]:
        return {"total": self.total, "next": self.next}


def page(matching: Sequence[T], number: Callable[[T], int]) -> Page[T]:
    """Return the requested page of items that are sorted by descending number. Raise RequestError."""
    limit, before = _parameter("limit", DEFAULT_LIMIT), _parameter("before", 0)
    if limit > MAX_LIMIT:
        raise RequestError(f"limit: expected at most {MAX_LIMIT}")
    older = [item for item in matching if not before or number(item) < before]
    items = older[:limit]
    return Page(items, len(matching), number(items[-1]) if len(older) > limit else None)


def _parameter(name: str, default: int) -> int:
    """Return a positive number from the query."""
    text = request.args.get(name, str(default))
    if text == str(default):
        return default
    if not text.isdecimal() or not int(text):
        raise RequestError(f"{name}: expected a number above 0")
    return int(text)
