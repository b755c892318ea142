"""One function process that most tests share, and the witness that hears every process of the run."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.harness import Stage
from tests.end_to_end.leak_checker import Witness


@pytest.fixture(scope="session")
def witness() -> Iterator[Witness]:
    """Its last check comes when every process of the run has ended."""
    witness = Witness()
    yield witness
    witness.check(everything=True)


@pytest.fixture(autouse=True)
def _nothing_leaks(witness: Witness) -> Iterator[None]:
    yield
    witness.check()


@pytest.fixture(scope="session")
def stage(witness: Witness) -> Iterator[Stage]:
    """With the usual settings. A test leaves it as it found it, and uses addresses of its own."""
    with Stage(witness) as stage:
        yield stage
