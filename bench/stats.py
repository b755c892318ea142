"""Summary statistics of repeated measurements."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Stats:
    median: float
    minimum: float
    maximum: float


def summarize(values: Iterable[float]) -> Stats:
    measured = list(values)
    return Stats(statistics.median(measured), min(measured), max(measured))
