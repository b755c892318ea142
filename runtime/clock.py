"""The one door to time and chance, so that tests can bring their own."""

import random
import time
from collections.abc import Callable
from typing import NamedTuple


class Clock(NamedTuple):
    now: Callable[[], float] = time.time  # unix seconds
    monotonic: Callable[[], float] = time.monotonic  # seconds; for deadlines and durations
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random  # 0 ≤ x < 1; for jitter


CLOCK = Clock()
