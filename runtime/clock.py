"""All access to time and randomness, injectable for tests."""

import random
import time
from collections.abc import Callable
from typing import NamedTuple


class Clock(NamedTuple):
    now: Callable[[], float] = time.time  # Unix seconds
    monotonic: Callable[[], float] = time.monotonic  # seconds; for deadlines and durations
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random  # 0 ≤ x < 1; for jitter


CLOCK = Clock()
