"""The host: what functions-framework leaves at gunicorn's defaults, and this function wants otherwise."""

import os
from contextlib import suppress

from gunicorn import config


def prepare() -> None:
    """Before gunicorn starts. Once in a process; more does nothing new."""
    with suppress(AttributeError):  # gunicorn has it since 25.1
        # Nobody manages an instance through a socket. Its asyncio would compete with the first callout.
        config.ControlSocketDisable.default = True
    os.register_at_fork(after_in_child=_keep_to_one_processor)


def _keep_to_one_processor() -> None:
    """Python runs one thread at a time. Spread over processors its threads wake each other for their turn, which costs
    a worker 40 % of what it can carry (docs/performance.md)."""
    with suppress(AttributeError, OSError):  # not everywhere known, or allowed
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {processors[os.getpid() % len(processors)]})
