"""The harness that most tests share, and the leak checker that watches every process of the run."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.harness import Harness
from tests.end_to_end.leak_checker import LeakChecker


@pytest.fixture(scope="session")
def leak_checker() -> Iterator[LeakChecker]:
    """Check everything once more after every process of the run has ended."""
    leak_checker = LeakChecker()
    yield leak_checker
    leak_checker.check(everything=True)


@pytest.fixture(autouse=True)
def _nothing_leaks(leak_checker: LeakChecker) -> Iterator[None]:
    yield
    leak_checker.check()


@pytest.fixture(scope="session")
def harness(leak_checker: LeakChecker) -> Iterator[Harness]:
    """Start the shared harness, with default settings. Tests restore its state and use unique addresses."""
    with Harness(leak_checker) as harness:
        yield harness
