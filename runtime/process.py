"""The process: what Python, the C library and gunicorn would do by default, and a small instance does better without.

docs/performance.md has the figures.
"""

import ctypes
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gunicorn import config

M_ARENA_MAX = -8  # of mallopt(3)


def prepare() -> None:
    """Before gunicorn starts. Once in a process; more does nothing new."""
    with suppress(AttributeError):  # gunicorn has it since 25.1
        # Nobody manages an instance through a socket. Its asyncio would compete with the first callout.
        config.ControlSocketDisable.default = True
    with suppress(AttributeError):  # only glibc has it
        # An arena for each thread would keep what that thread once needed.
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    os.register_at_fork(after_in_child=_keep_to_one_processor)


def _keep_to_one_processor() -> None:
    """Spread over processors, threads wake each other for their turn, which takes 40 % of what a worker can carry."""
    with suppress(AttributeError, OSError):  # not everywhere known, or allowed
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {processors[os.getpid() % len(processors)]})


@contextmanager
def without(package: str, *, warning: str) -> Iterator[None]:
    """What is imported inside finds no such package, and its warning about that, which begins so, goes unsaid."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=warning)
            yield
    finally:
        del sys.modules[package]
