"""One function process that most tests share, and the witness that hears every process of the run."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.harness import Harness
from tests.end_to_end.leak_checker import LeakChecker


@pytest.fixture(scope="session")
def witness() -> Iterator[LeakChecker]:
    """Its last check comes when every process of the run has ended."""
    witness = LeakChecker()
    yield witness
    witness.check(everything=True)


@pytest.fixture(autouse=True)
def _nothing_leaks(witness: LeakChecker) -> Iterator[None]:
    yield
    witness.check()


@pytest.fixture(scope="session")
def stage(witness: LeakChecker) -> Iterator[Harness]:
    """With the usual settings. A test leaves it as it found it, and uses addresses of its own."""
    with Harness(witness) as stage:
        yield stage
