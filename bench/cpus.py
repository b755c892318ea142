"""Choose the CPUs for the server, and those for the load and the stubs of other services."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

Cpus = frozenset[int]


class Layout(NamedTuple):
    server: Cpus
    load: Cpus


def one_cpu() -> Layout:
    """Return the deployed shape: the server has one CPU to itself. The load uses the others, if there are any."""
    first, *others = sorted(os.sched_getaffinity(0))
    return Layout(Cpus({first}), Cpus(others or {first}))


def all_cpus() -> Layout:
    """Return the layout in which the server and the load share all CPUs."""
    cpus = Cpus(os.sched_getaffinity(0))
    return Layout(cpus, cpus)


@contextmanager
def restricted_to(cpus: Cpus) -> Iterator[None]:
    """Run this thread, and the processes it starts, on these CPUs only."""
    previous = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, previous)
