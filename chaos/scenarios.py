"""The episodes: what goes wrong in a fault run, one after the other.

An episode that may cost a callout one of its two attempts waits until every callout that was under way in such a one
before is over: what one callout has to outlast is one such episode, and any number of the others.
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

LONGEST_OUTAGE = 1.8  # seconds, where a callout has to outlast it
WHOLE_SECONDS = 1.6  # between two outages, more than any pause between attempts: else they are one, and longer
TAKEN_SECONDS = 1.5  # within which requests have to meet a fault that waits for them
KEY_SECONDS = 20.0  # within which a new signing key has to be taken
READY_SECONDS = 10.0


@dataclass(frozen=True)
class Length:
    """Of what takes long where `deliver` has 45 seconds for an answer; a short run has shorter ones."""

    hang: float
    outage: float  # longer than any attempts within one request


@dataclass(frozen=True)
class Scenario:
    name: str
    run: Callable[[], None]


class Scenarios:
    """`brief`: a callout outlasts any of them. `breaking`: it may lose an attempt to one of them."""

    def __init__(
        self, world: Environment, traffic: Traffic, caller: Client, chance: random.Random, length: Length
    ) -> None:
        self._world, self._traffic, self._caller, self._chance = world, traffic, caller, chance
        self._length, self._probes, self._whole_since = length, 0, time.monotonic()
        self.brief = [*self._sendgrid(), *self._sendgrid_outages(), *self._secrets(), *self._rotations()]
        self.breaking = [*self._refused_secrets(), *3 * list(self._deaths(world.public, "the public side"))]
        if world.deliver is None:
            self.breaking += self._hangs()
        else:
            self.brief += [*self._hangs(), *self._tasks(), *self._delivers(world.deliver)]
            self.breaking += self._tasks_outages()

    # SendGrid

    def _sendgrid(self) -> Iterator[Scenario]:
        faults = self._world.sendgrid.faults
        for name in ("server error", "bad gateway", "unavailable", "too many requests, no hint", "reset"):
            yield Scenario(name, self._some(faults, fault(name), 6))
        for name in ("accepted, then reset", "cut answer"):
            yield Scenario(name, self._some(faults, fault(name), 3))
        yield Scenario("asked to wait", self._some(faults, fault("too many requests", seconds=1), 4))
        yield Scenario("delay", self._some(faults, fault("delay", seconds=1), 6))
        yield Scenario("slow answer", self._some(faults, fault("slow answer", seconds=0.004), 6))

    def _sendgrid_outages(self) -> Iterator[Scenario]:
        for name in ("server error", "bad gateway", "unavailable", "too many requests, no hint"):
            yield Scenario(f"outage: {name}", self._outage(self._world.sendgrid.faults, fault(name)))

    def _hangs(self) -> Iterator[Scenario]:
        faults, hang = self._world.sendgrid.faults, self._length.hang
        for name in ("time-out", "accepted, never answered"):
            yield Scenario(name, self._some(faults, fault(name, seconds=hang), 4))
        yield Scenario("slow past the deadline", self._some(faults, fault("slow answer", seconds=hang / 300), 3))

    # Secret Manager

    def _secrets(self) -> Iterator[Scenario]:
        for name in ("unavailable", "internal", "rate limited", "slow", "hang", "reset"):
            trouble = self._some(self._world.secret_manager.faults, secret_manager.FAULTS[name], 3)
            yield Scenario(f"Secret Manager: {name}", trouble)

    def _refused_secrets(self) -> Iterator[Scenario]:
        """An answer, and no outage: the value is dropped at once, so a callout loses an attempt to it."""
        manager = self._world.secret_manager
        for name in (SENDGRID_KEY, SIGNING_KEY):
            off, on = (lambda name=name: manager.disable(name)), (lambda name=name: manager.enable(name))
            yield Scenario("a version disabled", self._refusal("version disabled", off, on))
            deny, allow = (lambda name=name: manager.deny(name)), (lambda name=name: manager.deny(name, denied=False))
            yield Scenario("a right taken away", self._refusal("403", deny, allow))
        gone = replace(secret_manager.FAULTS["not found"], count=None)
        yield Scenario("gone", self._refusal("404", lambda: manager.faults.add(gone), manager.faults.clear))

    def _refusal(self, name: str, begin: Callable[[], None], end: Callable[[], None]) -> Callable[[], None]:
        """It ends soon after it was met: who comes again after the second that the answer asks for finds it over."""
        ledger = self._world.ledger

        def run() -> None:
            before = ledger.refused_reads
            begin()
            self._until(lambda: ledger.refused_reads > before, TAKEN_SECONDS)
            time.sleep(0.2)
            end()
            ledger.inject(f"Secret Manager: {name}", ledger.refused_reads - before)
            self._settle()

        return run

    def _rotations(self) -> Iterator[Scenario]:
        yield Scenario(
            "the SendGrid key rotated", self._counted(self._world.rotate_sendgrid_key, "SendGrid key rotated")
        )
        yield Scenario("the signing key rotated", self._counted(self._rotate_signing_key, "signing key rotated"))

    def _rotate_signing_key(self) -> None:
        """As the operators' page says: the tenant's key is changed when the function takes the new one."""
        self._world.rotate_signing_key()
        ends = time.monotonic() + KEY_SECONDS
        while not self._is_taken() and time.monotonic() < ends:  # also when the last callout has begun
            time.sleep(0.01)
        self._world.use_newest_signing_key()

    def _is_taken(self) -> bool:
        self._probes += 1
        probe = ChaosCallout(-self._probes, "forged")
        status = self._caller.send(probe, key=self._world.newest_signing_key).status
        return status not in (0, 401, 503)

    # Cloud Tasks

    def _tasks(self) -> Iterator[Scenario]:
        faults = self._world.cloud_tasks.faults
        for name in ("queue asleep", "rate limited", "unavailable", "internal", "reset"):
            yield Scenario(name, self._some(faults, cloud_tasks.FAULTS[name], 3))
        yield Scenario("made, then reset", self._some(faults, Fault("reset", "made, then reset", accepted=True), 3))
        yield Scenario("made, answer cut", self._some(faults, Fault("cut", "made, answer cut"), 3))
        yield Scenario("slow bytes", self._some(faults, Fault("slow", "slow bytes", seconds=0.001), 3))
        twice = self._counted(lambda: self._world.cloud_tasks.duplicate_next(10), "Cloud Tasks: sent twice", 10)
        yield Scenario("sent twice", twice)

    def _tasks_outages(self) -> Iterator[Scenario]:
        faults = self._world.cloud_tasks.faults
        for name in ("queue asleep", "rate limited", "unavailable", "internal"):
            yield Scenario(f"outage: {name}", self._outage(faults, cloud_tasks.FAULTS[name]))
        for name in ("slow", "hang"):
            yield Scenario(name, self._some(faults, cloud_tasks.FAULTS[name], 4))

    # Instances

    def _deaths(self, instance: Instance, side: str) -> Iterator[Scenario]:
        def dies(end: Callable[[], None]) -> Callable[[], None]:
            def run() -> None:
                end()
                self._settle()

            return run

        yield Scenario("SIGKILL", self._counted(dies(instance.kill), f"SIGKILL of {side}"))
        yield Scenario("SIGTERM", self._counted(dies(instance.replace), f"SIGTERM of {side}"))

    def _delivers(self, deliver: Instance) -> Iterator[Scenario]:
        yield from self._deaths(deliver, "deliver")
        outage = self._counted(lambda: self._long_outage(deliver), "SendGrid: down for long")
        yield Scenario("SendGrid is down for long", outage)

    def _long_outage(self, deliver: Instance) -> None:
        """Longer than all attempts that one delivery makes, and an instance dies meanwhile."""
        ends, killed = time.monotonic() + self._length.outage, False
        names = ["server error", "bad gateway", "unavailable", "too many requests, no hint"]
        while time.monotonic() < ends:
            if not self._world.sendgrid.faults.waiting():
                self._world.sendgrid.faults.add(fault(self._chance.choice(names), count=20))
            if not killed and time.monotonic() > ends - self._length.outage / 2:
                self._counted(deliver.kill, "SIGKILL of deliver")()
                killed = True
            time.sleep(0.01)
        self._world.sendgrid.faults.clear()

    # What they have in common

    def _some(self, faults: Faults, trouble: Fault, most: int) -> Callable[[], None]:
        """The next requests meet it, as many as chance says."""

        def run() -> None:
            faults.add(replace(trouble, count=self._chance.randint(1, most)))
            self._until(lambda: not faults.waiting(), TAKEN_SECONDS)
            faults.clear()

        return run

    def _outage(self, faults: Faults, trouble: Fault) -> Callable[[], None]:
        """Every request meets it, for as long as chance says."""

        def run() -> None:
            time.sleep(max(0.0, self._whole_since + WHOLE_SECONDS - time.monotonic()))
            faults.add(replace(trouble, count=None))
            time.sleep(self._chance.uniform(0.3, LONGEST_OUTAGE))
            faults.clear()
            self._whole_since = time.monotonic()

        return run

    def _counted(self, run: Callable[[], None], name: str, count: int = 1) -> Callable[[], None]:
        """For what no stand-in counts."""

        def counted() -> None:
            self._world.ledger.inject(name, count)
            run()

        return counted

    def _settle(self) -> None:
        """Return when callouts are accepted again: what comes next finds the secrets read."""
        before = self._traffic.accepted
        self._traffic.wait(lambda: self._traffic.accepted >= before + 3, READY_SECONDS)

    def _until(self, holds: Callable[[], bool], seconds: float) -> None:
        ends = time.monotonic() + seconds
        while not holds() and time.monotonic() < ends and not self._traffic.is_over:
            time.sleep(0.01)


def run(episodes: Scenarios, traffic: Traffic, chance: random.Random) -> None:
    """One after the other until all callouts have started; which comes next, and how much of it, is the seed's."""
    brief, breaking = _shuffled(episodes.brief, chance), _shuffled(episodes.breaking, chance)
    exposed: frozenset[int] = frozenset()
    while not traffic.is_over:
        if exposed & traffic.under_way():
            next(brief).run()
        else:
            next(breaking).run()
            exposed = traffic.under_way()
        go_on = traffic.started + chance.randint(3, 20)
        traffic.wait(lambda go_on=go_on: traffic.started >= go_on, 1.0)  # type: ignore[misc]


def _shuffled(episodes: list[Scenario], chance: random.Random) -> Iterator[Scenario]:
    """Each of them before any comes again."""
    while True:
        yield from chance.sample(episodes, len(episodes))
