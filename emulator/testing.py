"""The pytest fixture to test your own Actions with the real function and the real action.js; see docs/add-an-action.md.

In conftest.py, add `from emulator.testing import emulator`. A test with the parameter `emulator` then gets a running
emulator with an empty inbox and without faults. All tests with the same options share one emulator.
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

__all__ = ["EmulatorFixture", "Fault", "Options", "Run", "emulator", "example"]


@dataclass(frozen=True)
class Options:
    """What to start: the main.py, the forwarder Action, and the function's settings.

    `secrets` are the names of additional secrets; set their values with `put_secret`.
    """

    source: Path = PROJECT_ROOT / "main.py"
    action: Path = PROJECT_ROOT / "auth0" / "action.js"
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, str]:
        return {**{f"{name}_SECRET": _resource(name) for name in self.secrets}, **self.environment}


class EmulatorFixture:
    """The emulator's operations for tests; `parts` is the underlying Emulator, for everything else."""

    def __init__(self, parts: Emulator, stack: ExitStack) -> None:
        self.parts, self._stack = parts, stack

    def run(self, event: Mapping[str, Any] | str = "auth0-default-sample") -> Run:
        """Change a password, with an event or the name of an example event."""
        return self.parts.run(example(event) if isinstance(event, str) else event)

    def responses(self, run: Run) -> list[dict[str, Any]]:
        """Return the function's response to each attempt of the forwarder: its JSON, plus `http_status`."""
        exchanges = [entry.data for entry in run.entries if entry.kind == "function.exchange"]
        return [{**json.loads(data["response"]["body"]), "http_status": data["status"]} for data in exchanges]

    def inbox(self) -> list[Email]:
        """Return the emails that SendGrid accepted, oldest first."""
        return self.parts.sendgrid.inbox()

    def inject(self, part: str, name: str, count: int | None = 1) -> None:
        """Inject a fault into the next `count` requests (None: until `clear_faults`)."""
        self.parts.fault_toggles.turn_on(part, name, count)

    def clear_faults(self) -> None:
        self.parts.fault_toggles.reset()

    def put_secret(self, name: str, value: str) -> None:
        """Set the value of a secret that the options name."""
        self.parts.secret_manager.put(_resource(name), value)

    def stub(self, name: str, *, response: str = "ok") -> Stub:
        """Start a stub of another service, until the end of the test."""
        return self._stack.enter_context(Stub(name, response=response))


@pytest.fixture
def emulator(request: pytest.FixtureRequest) -> Iterator[EmulatorFixture]:
    """Yield the emulator, with the options of the fixture `emulator_options` if it exists."""
    running = _running(request)
    running.reset()
    with ExitStack() as stack:
        yield EmulatorFixture(running, stack)


_RUNNING = pytest.StashKey[dict[str, Emulator]]()


def _running(request: pytest.FixtureRequest) -> Emulator:
    """Return the emulator for the options; it starts on first use and stops at the end of the session."""
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
        raise TypeError("the fixture emulator_options must return emulator.testing.Options")
    return options


def _resource(name: str) -> str:
    return SECRET_PREFIX + name.lower().replace("_", "-")
