"""pytest: your own Actions, through the real function and the real action.js, in docs/testing.md by example.

In a conftest.py, `from emulator.testing import emulator`; then a test that takes `emulator` has one that runs, with an
empty inbox and nothing broken. It starts once for all tests with the same options.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from emulator.cloud_run.process import PROJECT_ROOT
from emulator.core.faults import Fault
from emulator.core.stub import Stub
from emulator.emulator import Emulator, Run, example
from emulator.secret_manager.key_rotation import SECRET_PREFIX
from emulator.sendgrid.email import Email

__all__ = ["Emulated", "Fault", "Options", "Run", "emulator", "example"]


@dataclass(frozen=True)
class Options:
    """What to start: the main.py, the Action at Auth0, settings of the function, and names of further Action secrets,
    which a test fills by `put_secret`."""

    source: Path = PROJECT_ROOT / "main.py"
    action: Path = PROJECT_ROOT / "auth0" / "action.js"
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, str]:
        return {**{f"{name}_SECRET": _resource(name) for name in self.secrets}, **self.environment}


class Emulated:
    """What a test does with the emulator; `parts` is the whole of it, for what is not here."""

    def __init__(self, parts: Emulator, stack: ExitStack) -> None:
        self.parts, self._stack = parts, stack

    def run(self, event: Mapping[str, Any] | str = "auth0-default-sample") -> Run:
        """Let a password be changed: with an event of your own, or an example's name."""
        return self.parts.run(example(event) if isinstance(event, str) else event)

    def answers(self, run: Run) -> list[dict[str, Any]]:
        """What the function answered to each attempt of the Action: its JSON, and the status as `http_status`."""
        exchanges = [entry.data for entry in run.entries if entry.kind == "function.exchange"]
        return [{**json.loads(data["response"]["body"]), "http_status": data["status"]} for data in exchanges]

    def inbox(self) -> list[Email]:
        """Oldest first."""
        return self.parts.sendgrid.inbox()

    def breaks(self, part: str, name: str, count: int | None = 1) -> None:
        """As the page's switches: the next `count` requests fail (None: all, until `repair`)."""
        self.parts.fault_toggles.turn_on(part, name, count)

    def repair(self) -> None:
        self.parts.fault_toggles.reset()

    def put_secret(self, name: str, value: str) -> None:
        """Give an Action secret that the options name a value."""
        self.parts.secret_manager.put(_resource(name), value)

    def stand_in(self, name: str, *, answer: str = "ok") -> Stub:
        """Another service, until the end of the test."""
        return self._stack.enter_context(Stub(name, response=answer))


@pytest.fixture
def emulator(request: pytest.FixtureRequest) -> Iterator[Emulated]:
    """The emulator with the options that a fixture `emulator_options` gives, where there is one."""
    running = _running(request)
    running.reset()
    with ExitStack() as stack:
        yield Emulated(running, stack)


_RUNNING = pytest.StashKey[dict[str, Emulator]]()


def _running(request: pytest.FixtureRequest) -> Emulator:
    """Started on first use, ended with the whole run."""
    options = _options(request)
    started = request.config.stash.setdefault(_RUNNING, {})
    if repr(options) not in started:
        emulator = Emulator(options.settings, source=options.source, action=options.action)
        emulator.__enter__()
        request.config.add_cleanup(lambda: emulator.__exit__(None, None, None))
        started[repr(options)] = emulator
    return started[repr(options)]


def _options(request: pytest.FixtureRequest) -> Options:
    try:
        options = request.getfixturevalue("emulator_options")
    except pytest.FixtureLookupError:
        return Options()
    if not isinstance(options, Options):
        raise TypeError("the fixture emulator_options must give emulator.testing.Options")
    return options


def _resource(name: str) -> str:
    return SECRET_PREFIX + name.lower().replace("_", "-")
