"""Send thousands of callouts through the real processes while faults are injected into everything around them.

    python -m chaos --mode direct|queue|both|load --callouts 10000 --seed 1

Prints the outcome of the callouts and how often each fault was injected. Exits with 1 if a notice was lost, duplicated
without a known reason, or got an invalid response. The seed determines the order of callouts and faults; their timing
depends on the machine.
"""

import argparse
import random
import sys
import threading
import time
from collections.abc import Iterable, Sequence

from bench.soak import run as run_soak
from chaos.checker import CheckResult, check
from chaos.client import Client, kinds
from chaos.environment import Environment, Mode
from chaos.request import ChaosCallout
from chaos.scenarios import Durations, Scenarios
from chaos.scenarios import run as run_scenarios
from chaos.traffic import Traffic

CALLOUTS_PER_SECOND = 45.0
MIN_SECONDS = 12.0
DRAIN_SECONDS = 180.0
FULL, SHORT = Durations(hang=60.0, outage=25.0), Durations(hang=2.0, outage=9.0)
FULL_RUN_CALLOUTS = 1000  # a shorter run has no time for long hangs and outages
MAX_SHOWN = 10
MODE_HELP = "delivery mode to test, or load for a soak test without faults (default: both)"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--mode", choices=["direct", "queue", "both", "load"], default="both", help=MODE_HELP)
    parser.add_argument("--callouts", type=int, default=10_000, help="number of callouts per mode (default: 10000)")
    parser.add_argument("--seed", type=int, default=1, help="random seed for callouts and faults (default: 1)")
    options = parser.parse_args(arguments)
    if options.mode == "load":
        return 0 if run_soak() else 1
    modes: list[Mode] = ["direct", "queue"] if options.mode == "both" else [options.mode]
    return 0 if all([run(mode, options.callouts, options.seed) for mode in modes]) else 1  # noqa: C419  (run every mode)


def run(mode: Mode, count: int, seed: int) -> bool:
    """Run one mode and print the results. Return whether the contract held."""
    started, rng = time.monotonic(), random.Random(seed)  # noqa: S311  (reproducible, not secret)
    callouts = [ChaosCallout(number, kind) for number, kind in enumerate(kinds(count, rng))]
    with Environment(mode) as environment:
        _run_traffic(environment, callouts, rng, seed)
        is_empty = environment.finish(DRAIN_SECONDS)
        result = check(environment, callouts)
    print(f"{mode} mode, {count} callouts, seed {seed}: {time.monotonic() - started:.0f} s\n")
    _print_table(environment, callouts, result)
    tasks = environment.cloud_tasks.tasks()
    if tasks:
        print(f"{len(tasks)} tasks left in the queue")
    return result.passed and is_empty and not environment.recorder.dropped and not environment.recorder.unexpected_lines


def _run_traffic(environment: Environment, callouts: Sequence[ChaosCallout], rng: random.Random, seed: int) -> None:
    """Send all callouts and inject faults at the same time."""
    count = len(callouts)
    traffic = Traffic(callouts, min(CALLOUTS_PER_SECOND, count / MIN_SECONDS))
    client = Client(environment)
    durations = FULL if count >= FULL_RUN_CALLOUTS or environment.mode == "direct" else SHORT
    scenarios = Scenarios(environment, traffic, client, rng, durations)
    faults = threading.Thread(target=run_scenarios, args=(scenarios, traffic, rng), daemon=True)
    cleaner = threading.Thread(target=_discard_emails, args=(environment, traffic), daemon=True)
    for thread in (faults, cleaner):
        thread.start()
    traffic.run(lambda callout: client.run(callout, f"{seed}/{callout.number}"))
    for thread in (faults, cleaner):
        thread.join()


def _discard_emails(environment: Environment, traffic: Traffic) -> None:
    """Regularly discard the emails that SendGrid's emulator keeps: the recorder has counted them."""
    while not traffic.is_over:
        environment.sendgrid.clear()
        time.sleep(0.5)


def _print_table(environment: Environment, callouts: Sequence[ChaosCallout], result: CheckResult) -> None:
    recorder = environment.recorder
    attempts = sum(len(callout.attempts) for callout in callouts)
    by_forwarder = sum(callout.kind == "forwarder" for callout in callouts)
    _print_rows(
        [
            (f"callouts, {by_forwarder} of them by the forwarder", len(callouts)),
            ("attempts", attempts),
            ("emails", sum(recorder.emails[callout.address] for callout in callouts)),
            ("lost", len(result.lost)),
            ("acknowledged but unsent", len(result.unsent)),
            ("duplicates", sum(result.duplicates.values()) + len(result.unexplained)),
            *((f"  {reason}", count) for reason, count in sorted(result.duplicates.items())),
            ("  unexplained", len(result.unexplained)),
            ("contract violations", len(result.violations)),
            ("tasks dropped by Cloud Tasks", recorder.dropped),
            ("notices abandoned by deliver", len(recorder.abandoned)),
            ("output lines that aren't log entries", len(recorder.unexpected_lines)),
            ("reported to Auth0 as failed but sent", _failed_but_sent(environment, callouts)),
        ]
    )
    _print_rows([("fault", "injected"), *sorted(recorder.injected.items())])
    for lines in (result.lost, result.unexplained, result.violations, recorder.unexpected_lines):
        for line in lines[:MAX_SHOWN]:
            print(f"  {line}")


def _failed_but_sent(environment: Environment, callouts: Iterable[ChaosCallout]) -> int:
    emails = environment.recorder.emails
    return sum(bool(callout.forwarder_error) and emails[callout.address] > 0 for callout in callouts)


def _print_rows(rows: Sequence[tuple[str, int | str]]) -> None:
    for name, value in rows:
        print(f"{name:<60}{value:>9}")
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
