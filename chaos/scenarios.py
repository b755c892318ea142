"""Fault scenarios of a chaos run, injected one after another.

At most one disruptive scenario, which can cost a callout one of its two attempts, may affect any callout: before the
next one starts, every callout that was exposed to the previous one has to finish.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from chaos.client import Client
from chaos.environment import Environment
from chaos.instance import Instance
from chaos.request import ChaosCallout
from chaos.traffic import Traffic
from emulator.cloud_tasks import server as cloud_tasks
from emulator.core.faults import Fault, Faults
from emulator.emulator import SENDGRID_KEY, SIGNING_KEY
from emulator.secret_manager import server as secret_manager
from emulator.sendgrid.faults import fault

MAX_OUTAGE_SECONDS = 1.8  # an outage that a callout must survive
MIN_RECOVERY_SECONDS = 1.6  # between two outages; longer than any backoff, so that they don't act as one long outage
FAULT_TIMEOUT_SECONDS = 1.5  # for requests to consume an injected fault
HUNG_READ_SECONDS = 6.0  # longer than the function waits for a secret to be read
KEY_TIMEOUT_SECONDS = 20.0  # for the function to accept a new signing key
UNREAD_CALLOUTS = 40  # accepted while the output isn't read; they log more than its pipe holds
UNREAD_SECONDS = 20.0  # if callouts wait for the output to be read; longer than the forwarder waits
PIPE_SIZE, SMALL_PIPE_SIZE = 65_536, 16_384
READY_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Durations:
    """Durations in seconds of long faults, which `deliver` with its deadline of 45 s must survive."""

    hang: float
    outage: float  # longer than all attempts within one request


@dataclass(frozen=True)
class Injection:
    """A fault of SendGrid, injected once `callout` callouts had started, for `seconds` or until it was consumed."""

    callout: int
    fault: Fault
    seconds: float


@dataclass(frozen=True)
class Scenario:
    name: str
    run: Callable[[], None]


class Scenarios:
    """All scenarios. A callout survives `tolerable` ones, but can lose one attempt to a `disruptive` one.

    `injections` are the SendGrid faults that have been injected.
    """

    def __init__(
        self, environment: Environment, traffic: Traffic, client: Client, rng: random.Random, durations: Durations
    ) -> None:
        self._environment, self._traffic, self._client, self._rng = environment, traffic, client, rng
        self._durations, self._probes, self._recovered_at = durations, 0, time.monotonic()
        self.injections: list[Injection] = []
        self.tolerable = [*self._sendgrid(), *self._sendgrid_outages(), *self._secrets(), *self._rotations()]
        self.tolerable.append(Scenario("output not read", self._recorded(self._unread_output, "output: not read")))
        self.disruptive = [
            *self._rejected_secrets(),
            *3 * list(self._crashes(environment.public, "the public service")),
        ]
        if environment.deliver is None:
            self.disruptive += self._hangs()
        else:
            self.tolerable += [*self._hangs(), *self._tasks(), *self._deliver_failures(environment.deliver)]
            self.disruptive += self._tasks_outages()

    # SendGrid

    def _sendgrid(self) -> Iterator[Scenario]:
        faults = self._environment.sendgrid.faults
        for name in ("server error", "bad gateway", "unavailable", "too many requests, no hint", "reset"):
            yield Scenario(name, self._brief_fault(faults, fault(name), 6))
        for name in ("accepted, then reset", "cut answer"):
            yield Scenario(name, self._brief_fault(faults, fault(name), 3))
        yield Scenario("too many requests", self._brief_fault(faults, fault("too many requests", seconds=1), 4))
        yield Scenario("delay", self._brief_fault(faults, fault("delay", seconds=1), 6))
        yield Scenario("slow answer", self._brief_fault(faults, fault("slow answer", seconds=0.004), 6))

    def _sendgrid_outages(self) -> Iterator[Scenario]:
        for name in ("server error", "bad gateway", "unavailable", "too many requests, no hint"):
            yield Scenario(f"outage: {name}", self._outage(self._environment.sendgrid.faults, fault(name)))

    def _hangs(self) -> Iterator[Scenario]:
        faults, hang = self._environment.sendgrid.faults, self._durations.hang
        for name in ("timeout", "accepted, never answered"):
            yield Scenario(name, self._brief_fault(faults, fault(name, seconds=hang), 4))
        yield Scenario("slow past the deadline", self._brief_fault(faults, fault("slow answer", seconds=hang / 300), 3))

    # Secret Manager

    def _secrets(self) -> Iterator[Scenario]:
        for name in ("unavailable", "internal", "rate limited", "slow", "hang", "reset"):
            injected = self._brief_fault(self._environment.secret_manager.faults, secret_manager.FAULTS[name], 3)
            yield Scenario(f"Secret Manager: {name}", injected)
        yield Scenario("secret reads hang", self._hung_reads)

    def _hung_reads(self) -> None:
        """Dribble the secrets, so that no timeout between two bytes expires, while the signing key is rotated."""
        self._wait_until_stable()
        faults = self._environment.secret_manager.faults
        faults.add(Fault("slow", "read hangs", seconds=0.5, count=None))
        self._environment.rotate_signing_key()
        self._wait_until(lambda: False, HUNG_READ_SECONDS)
        faults.clear()
        self._use_newest_signing_key()

    def _rejected_secrets(self) -> Iterator[Scenario]:
        """Yield rejected reads: the function drops the cached value immediately, so a callout can lose an attempt."""
        manager = self._environment.secret_manager
        for name in (SENDGRID_KEY, SIGNING_KEY):
            disable, enable = (lambda name=name: manager.disable(name)), (lambda name=name: manager.enable(name))
            yield Scenario("version disabled", self._rejection("version disabled", disable, enable))
            deny, allow = (lambda name=name: manager.deny(name)), (lambda name=name: manager.deny(name, denied=False))
            yield Scenario("permission denied", self._rejection("403", deny, allow))
        missing = replace(secret_manager.FAULTS["not found"], count=None)
        yield Scenario("not found", self._rejection("404", lambda: manager.faults.add(missing), manager.faults.clear))

    def _rejection(self, name: str, begin: Callable[[], None], end: Callable[[], None]) -> Callable[[], None]:
        """Return a step that ends soon after the first rejected read, before the Retry-After of 1 s has passed."""
        recorder = self._environment.recorder

        def run() -> None:
            previous_reads = recorder.rejected_reads
            begin()
            self._wait_until(lambda: recorder.rejected_reads > previous_reads, FAULT_TIMEOUT_SECONDS)
            time.sleep(0.2)
            end()
            recorder.inject(f"Secret Manager: {name}", recorder.rejected_reads - previous_reads)
            self._wait_until_stable()

        return run

    def _rotations(self) -> Iterator[Scenario]:
        yield Scenario(
            "SendGrid key rotated", self._recorded(self._environment.rotate_sendgrid_key, "SendGrid key rotated")
        )
        yield Scenario("signing key rotated", self._recorded(self._rotate_signing_key, "signing key rotated"))

    def _rotate_signing_key(self) -> None:
        """Rotate as the documentation describes: change the tenant's key once the function accepts the new one."""
        self._environment.rotate_signing_key()
        self._use_newest_signing_key()

    def _use_newest_signing_key(self) -> None:
        deadline = time.monotonic() + KEY_TIMEOUT_SECONDS
        while not self._is_newest_key_accepted() and time.monotonic() < deadline:
            time.sleep(0.01)
        self._environment.use_newest_signing_key()

    def _is_newest_key_accepted(self) -> bool:
        self._probes += 1
        probe = ChaosCallout(-self._probes, "forged")
        status = self._client.send(probe, key=self._environment.newest_signing_key).status
        return status not in (0, 401, 503)

    # Cloud Tasks

    def _tasks(self) -> Iterator[Scenario]:
        faults = self._environment.cloud_tasks.faults
        for name in ("queue asleep", "rate limited", "unavailable", "internal", "reset"):
            yield Scenario(name, self._brief_fault(faults, cloud_tasks.FAULTS[name], 3))
        yield Scenario(
            "created, then reset", self._brief_fault(faults, Fault("reset", "created, then reset", accepted=True), 3)
        )
        yield Scenario(
            "created, response truncated", self._brief_fault(faults, Fault("cut", "created, response truncated"), 3)
        )
        yield Scenario("slow response", self._brief_fault(faults, Fault("slow", "slow response", seconds=0.001), 3))
        duplicates = self._recorded(
            lambda: self._environment.cloud_tasks.duplicate_next(10), "Cloud Tasks: delivered twice", 10
        )
        yield Scenario("delivered twice", duplicates)

    def _tasks_outages(self) -> Iterator[Scenario]:
        faults = self._environment.cloud_tasks.faults
        for name in ("queue asleep", "rate limited", "unavailable", "internal"):
            yield Scenario(f"outage: {name}", self._outage(faults, cloud_tasks.FAULTS[name]))
        for name in ("slow", "hang"):
            yield Scenario(name, self._brief_fault(faults, cloud_tasks.FAULTS[name], 4))

    # Instances

    def _unread_output(self) -> None:
        """Leave the instances' output unread until their pipes are full and they lose log lines."""
        instances = [instance for instance in (self._environment.public, self._environment.deliver) if instance]
        accepted_before, reads_output = self._traffic.accepted, self._environment.recorder.reads_output
        for instance in instances:
            instance.set_output_buffer(SMALL_PIPE_SIZE)
        reads_output.clear()
        self._traffic.wait(lambda: self._traffic.accepted >= accepted_before + UNREAD_CALLOUTS, UNREAD_SECONDS)
        reads_output.set()
        for instance in instances:
            instance.set_output_buffer(PIPE_SIZE)

    def _crashes(self, instance: Instance, service: str) -> Iterator[Scenario]:
        def crash(stop: Callable[[], None]) -> Callable[[], None]:
            def run() -> None:
                stop()
                self._wait_until_stable()

            return run

        yield Scenario("SIGKILL", self._recorded(crash(instance.kill), f"SIGKILL of {service}"))
        yield Scenario("SIGTERM", self._recorded(crash(instance.replace), f"SIGTERM of {service}"))

    def _deliver_failures(self, deliver: Instance) -> Iterator[Scenario]:
        yield from self._crashes(deliver, "deliver")
        outage = self._recorded(lambda: self._long_outage(deliver), "SendGrid: long outage")
        yield Scenario("long outage of SendGrid", outage)

    def _long_outage(self, deliver: Instance) -> None:
        """Cause an outage longer than all attempts of one delivery, and kill an instance halfway."""
        deadline, killed = time.monotonic() + self._durations.outage, False
        self._record_injection(
            self._environment.sendgrid.faults, fault("unavailable", count=None), self._durations.outage
        )
        names = ["server error", "bad gateway", "unavailable", "too many requests, no hint"]
        while time.monotonic() < deadline:
            if not self._environment.sendgrid.faults.pending():
                self._environment.sendgrid.faults.add(fault(self._rng.choice(names), count=20))
            if not killed and time.monotonic() > deadline - self._durations.outage / 2:
                self._recorded(deliver.kill, "SIGKILL of deliver")()
                killed = True
            time.sleep(0.01)
        self._environment.sendgrid.faults.clear()

    # Shared steps

    def _brief_fault(self, faults: Faults, injected: Fault, max_count: int) -> Callable[[], None]:
        """Return a step that injects the fault into the next 1 to `max_count` requests."""

        def run() -> None:
            brief = replace(injected, count=self._rng.randint(1, max_count))
            self._record_injection(faults, brief, FAULT_TIMEOUT_SECONDS)
            faults.add(brief)
            self._wait_until(lambda: not faults.pending(), FAULT_TIMEOUT_SECONDS)
            faults.clear()

        return run

    def _outage(self, faults: Faults, injected: Fault) -> Callable[[], None]:
        """Return a step that injects the fault into every request for a random time."""

        def run() -> None:
            time.sleep(max(0.0, self._recovered_at + MIN_RECOVERY_SECONDS - time.monotonic()))
            outage, seconds = replace(injected, count=None), self._rng.uniform(0.3, MAX_OUTAGE_SECONDS)
            self._record_injection(faults, outage, seconds)
            faults.add(outage)
            time.sleep(seconds)
            faults.clear()
            self._recovered_at = time.monotonic()

        return run

    def _record_injection(self, faults: Faults, injected: Fault, seconds: float) -> None:
        if faults is self._environment.sendgrid.faults:
            self.injections.append(Injection(self._traffic.started, injected, seconds))

    def _recorded(self, run: Callable[[], None], name: str, count: int = 1) -> Callable[[], None]:
        """Return a step that also records a fault that no emulated service counts."""

        def recorded() -> None:
            self._environment.recorder.inject(name, count)
            run()

        return recorded

    def _wait_until_stable(self) -> None:
        """Wait until callouts are accepted again, so that the secrets are cached when the next scenario starts."""
        accepted_before = self._traffic.accepted
        self._traffic.wait(lambda: self._traffic.accepted >= accepted_before + 3, READY_TIMEOUT_SECONDS)

    def _wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline and not self._traffic.is_over:
            time.sleep(0.01)


def run(scenarios: Scenarios, traffic: Traffic, rng: random.Random) -> None:
    """Run random scenarios one after another until all callouts have started."""
    tolerable, disruptive = _shuffled(scenarios.tolerable, rng), _shuffled(scenarios.disruptive, rng)
    exposed: frozenset[int] = frozenset()
    while not traffic.is_over:
        if exposed & traffic.active():
            next(tolerable).run()
        else:
            next(disruptive).run()
            exposed = traffic.active()
        target = traffic.started + rng.randint(3, 20)
        traffic.wait(lambda target=target: traffic.started >= target, 1.0)  # type: ignore[misc]


def _shuffled(scenarios: list[Scenario], rng: random.Random) -> Iterator[Scenario]:
    """Yield the scenarios in random order, each once before any repeats."""
    while True:
        yield from rng.sample(scenarios, len(scenarios))
