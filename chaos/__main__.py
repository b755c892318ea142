"""The fault run: thousands of callouts through the real processes while everything around them breaks.

    python -m chaos.__main__ --mode direct|queue|both|load --callouts 10000 --seed 1

Prints what became of the callouts and how often each fault was injected; exits 1 where a notice was lost, sent twice
without a reason, or answered wrongly. The order of callouts and faults is the seed's; the moments are the machine's.
"""

import argparse
import random
import sys
import threading
import time
from collections.abc import Iterable, Sequence

from bench.soak import run as run_load
from chaos.checker import CheckResult, judge
from chaos.client import Client, kinds
from chaos.environment import Environment, Mode
from chaos.request import ChaosCallout
from chaos.scenarios import Length, Scenarios
from chaos.scenarios import run as run_episodes
from chaos.traffic import Traffic

PER_SECOND = 45.0
SHORTEST_SECONDS = 12.0
DRAIN_SECONDS = 180.0
FULL, SHORT = Length(hang=60.0, outage=25.0), Length(hang=2.0, outage=9.0)
LONG_FROM = 1000  # callouts: a run of as many has time for what takes long
SHOWN = 10


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos.__main__", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--mode", choices=["direct", "queue", "both", "load"], default="both")
    parser.add_argument("--callouts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    if given.mode == "load":
        return 0 if run_load() else 1
    modes: list[Mode] = ["direct", "queue"] if given.mode == "both" else [given.mode]
    return 0 if all([run(mode, given.callouts, given.seed) for mode in modes]) else 1  # noqa: C419  (all are run)


def run(mode: Mode, count: int, seed: int) -> bool:
    """One mode's run, told on standard output. Whether the contract held."""
    began, chance = time.monotonic(), random.Random(seed)  # noqa: S311  (to be repeated, not to be secret)
    callouts = [ChaosCallout(number, kind) for number, kind in enumerate(kinds(count, chance))]
    with Environment(mode) as world:
        _go(world, callouts, chance, seed)
        is_empty = world.finish(DRAIN_SECONDS)
        verdict = judge(world, callouts)
    print(f"{mode} mode, {count} callouts, seed {seed}: {time.monotonic() - began:.0f} s\n")
    _print_table(world, callouts, verdict)
    tasks = world.cloud_tasks.tasks()
    if tasks:
        print(f"{len(tasks)} tasks are left in the queue")
    return verdict.holds and is_empty and not world.ledger.dropped and not world.ledger.strange


def _go(world: Environment, callouts: Sequence[ChaosCallout], chance: random.Random, seed: int) -> None:
    """Callouts and faults, side by side, until all callouts are over."""
    count = len(callouts)
    traffic = Traffic(callouts, min(PER_SECOND, count / SHORTEST_SECONDS))
    caller = Client(world)
    deliver_length = FULL if count >= LONG_FROM or world.mode == "direct" else SHORT
    episodes = Scenarios(world, traffic, caller, chance, deliver_length)
    faults = threading.Thread(target=run_episodes, args=(episodes, traffic, chance), daemon=True)
    sweeper = threading.Thread(target=_sweep, args=(world, traffic), daemon=True)
    for thread in (faults, sweeper):
        thread.start()
    traffic.run(lambda callout: caller.run(callout, f"{seed}/{callout.number}"))
    for thread in (faults, sweeper):
        thread.join()


def _sweep(world: Environment, traffic: Traffic) -> None:
    """The ledger has counted the mails: nobody keeps them."""
    while not traffic.is_over:
        world.sendgrid.clear()
        time.sleep(0.5)


def _print_table(world: Environment, callouts: Sequence[ChaosCallout], verdict: CheckResult) -> None:
    ledger = world.ledger
    answers = sum(len(callout.attempts) for callout in callouts)
    actions = sum(callout.kind == "action" for callout in callouts)
    _print_rows(
        [
            (f"callouts, {actions} by the tenant's action.js", len(callouts)),
            ("attempts of them", answers),
            ("mails", sum(ledger.mails[callout.address] for callout in callouts)),
            ("lost", len(verdict.lost)),
            ("acknowledged but unsent", len(verdict.unsent)),
            ("twice", sum(verdict.twice.values()) + len(verdict.unexplained)),
            *((f"  {reason}", count) for reason, count in sorted(verdict.twice.items())),
            ("  unexplained", len(verdict.unexplained)),
            ("wrong answers", len(verdict.wrong)),
            ("tasks that Cloud Tasks gave up", ledger.dropped),
            ("notices abandoned by deliver", len(ledger.abandoned)),
            ("lines that are none of the log's", len(ledger.strange)),
            ("Auth0 was told of a failure, but the mail went out", _failed_but_sent(world, callouts)),
        ]
    )
    _print_rows([("fault", "injected"), *sorted(ledger.injected.items())])
    for lines in (verdict.lost, verdict.unexplained, verdict.wrong, ledger.strange):
        for line in lines[:SHOWN]:
            print(f"  {line}")


def _failed_but_sent(world: Environment, callouts: Iterable[ChaosCallout]) -> int:
    return sum(bool(callout.gave_up) and world.ledger.mails[callout.address] > 0 for callout in callouts)


def _print_rows(rows: Sequence[tuple[str, int | str]]) -> None:
    for name, value in rows:
        print(f"{name:<60}{value:>9}")
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
