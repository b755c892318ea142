"""The spread: several measurements of one thing as their median and their range."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Stats:
    median: float
    low: float
    high: float


def spread(values: Iterable[float]) -> Stats:
    known = list(values)
    return Stats(statistics.median(known), min(known), max(known))
