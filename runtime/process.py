"""Process tuning for small Cloud Run instances. docs/performance.md has the measurements."""

import ctypes
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gunicorn import config

M_ARENA_MAX = -8  # of mallopt(3)


def tune_process() -> None:
    """Tune this process and its forks, before gunicorn starts. Calling it again has no further effect."""
    with suppress(AttributeError):  # gunicorn has the setting since 25.1
        # The control socket isn't used, and its asyncio loop would compete with the first callout.
        config.ControlSocketDisable.default = True
    with suppress(AttributeError):  # only glibc has it
        # By default, glibc gives each thread a malloc arena, which keeps the memory that the thread once needed.
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    os.register_at_fork(after_in_child=_pin_to_one_cpu)


def _pin_to_one_cpu() -> None:
    """Pin the worker to one CPU: GIL contention across cores costs 40 % of its throughput."""
    with suppress(AttributeError, OSError):  # not available, or not permitted
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cpus[os.getpid() % len(cpus)]})


@contextmanager
def import_blocked(package: str, *, warning: str) -> Iterator[None]:
    """Make imports of `package` fail inside the context, and suppress the warning that starts with `warning`.

    Has no effect if the package is already imported.
    """
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
