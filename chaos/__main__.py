"""Send thousands of callouts through the real processes while faults are injected into everything around them.

    python -m chaos --mode direct|queue|both|load --callouts 10000 --seed 1 --baseline

Prints the outcome of the callouts and how often each fault was injected. With --baseline, also runs Auth0's SendGrid
sample Action with the same password changes and SendGrid faults, and compares the outcomes. Exits with 1 if a notice
was lost, duplicated without a known reason, or got an invalid response, and with 2 if the run couldn't be completed.
The seed determines the order of callouts and faults; their timing depends on the machine.
"""

import argparse
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.soak import run as run_soak
from chaos.baseline import run_samples
from chaos.checker import check
from chaos.client import Client, kinds
from chaos.environment import Environment, Mode
from chaos.report import Outcome, comparison, print_mode, summarize
from chaos.request import ChaosCallout
from chaos.scenarios import Durations, Injection, Scenarios
from chaos.scenarios import run as run_scenarios
from chaos.traffic import Traffic
from emulator.auth0.runtime import TRIGGER_TIMEOUT_SECONDS
from emulator.cloud_run.process import FunctionError

CALLOUTS_PER_SECOND = 45.0
MIN_SECONDS = 12.0
DRAIN_SECONDS = 180.0
FULL, SHORT = Durations(hang=60.0, outage=25.0), Durations(hang=2.0, outage=9.0)
SHORT_TRIGGER_TIMEOUT_SECONDS = 5.0  # for the sample Action; longer than any fault that isn't a hang
FULL_RUN_CALLOUTS = 1000  # a shorter run has no time for long hangs and outages
MODE_HELP = "delivery mode to test, or load for a soak test without faults (default: both)"
BASELINE_HELP = "also run Auth0's SendGrid sample Action with the SendGrid faults of the first mode; npm installs axios"


@dataclass(frozen=True)
class ModeRun:
    """A finished run of one mode. `injections` are SendGrid's faults, and `injected` counts all of them."""

    passed: bool
    outcome: Outcome
    injections: Sequence[Injection]
    injected: Counter[str]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m chaos", description=(__doc__ or "").split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--mode", choices=["direct", "queue", "both", "load"], default="both", help=MODE_HELP)
    parser.add_argument("--callouts", type=int, default=10_000, help="number of callouts per mode (default: 10000)")
    parser.add_argument("--seed", type=int, default=1, help="random seed for callouts and faults (default: 1)")
    parser.add_argument("--baseline", action="store_true", help=BASELINE_HELP)
    options = parser.parse_args(arguments)
    if options.mode == "load":
        return 0 if run_soak() else 1
    modes: list[Mode] = ["direct", "queue"] if options.mode == "both" else [options.mode]
    try:
        runs = [run(mode, options.callouts, options.seed) for mode in modes]
        if options.baseline:
            compare(runs, options.callouts, options.seed)
    except FunctionError as error:
        print(f"the run was stopped, so it shows nothing about notices: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"the baseline wasn't run: npm can't install axios ({error})", file=sys.stderr)
        return 2
    return 0 if all(finished.passed for finished in runs) else 1


def run(mode: Mode, count: int, seed: int) -> ModeRun:
    """Run one mode and print the results. Raise FunctionError if an instance didn't start."""
    started, rng, callouts = time.monotonic(), *_draw(count, seed)
    with Environment(mode) as environment:
        injections = _run_traffic(environment, callouts, rng, seed)
        is_empty = environment.finish(DRAIN_SECONDS)
        result = check(environment, callouts)
    print(f"{mode} mode, {count} callouts, seed {seed}: {time.monotonic() - started:.0f} s\n")
    print_mode(environment, callouts, result)
    tasks, recorder = environment.cloud_tasks.tasks(), environment.recorder
    if tasks:
        print(f"{len(tasks)} tasks left in the queue")
    reported = {callout.address for callout in callouts if callout.forwarder_error}
    outcome = summarize(f"password-notice, {mode} mode", callouts, recorder.emails, reported)
    passed = result.passed and is_empty and not recorder.dropped and not recorder.unexpected_lines
    return ModeRun(passed, outcome, injections, recorder.injected)


def compare(runs: Sequence[ModeRun], count: int, seed: int) -> None:
    """Run the sample Actions with the SendGrid faults of the first run, and print all outcomes."""
    first, started = runs[0], time.monotonic()
    _, callouts = _draw(count, seed)
    timeout = TRIGGER_TIMEOUT_SECONDS if count >= FULL_RUN_CALLOUTS else SHORT_TRIGGER_TIMEOUT_SECONDS
    samples = run_samples(callouts, _callouts_per_second(count), first.injections, timeout)
    print(f"baseline, {count} callouts, seed {seed}: {time.monotonic() - started:.0f} s\n")
    print(comparison([*(finished.outcome for finished in runs), *samples]))
    print(
        f"\nThe sample Action got the SendGrid faults of {first.outcome.name}. These faults have no counterpart there:"
    )
    others = {fault for finished in runs for fault in finished.injected if not fault.startswith("SendGrid: ")}
    print("\n".join(f"  {fault}" for fault in sorted(others)), flush=True)


def _draw(count: int, seed: int) -> tuple[random.Random, list[ChaosCallout]]:
    """Return the callouts that the seed determines, and the random numbers for everything else."""
    rng = random.Random(seed)  # noqa: S311  (reproducible, not secret)
    return rng, [ChaosCallout(number, kind) for number, kind in enumerate(kinds(count, rng))]


def _callouts_per_second(count: int) -> float:
    return min(CALLOUTS_PER_SECOND, count / MIN_SECONDS)


def _run_traffic(
    environment: Environment, callouts: Sequence[ChaosCallout], rng: random.Random, seed: int
) -> list[Injection]:
    """Send all callouts and inject faults at the same time. Return SendGrid's faults."""
    count = len(callouts)
    traffic = Traffic(callouts, _callouts_per_second(count))
    client = Client(environment)
    durations = FULL if count >= FULL_RUN_CALLOUTS or environment.mode == "direct" else SHORT
    scenarios = Scenarios(environment, traffic, client, rng, durations)

    def inject_faults() -> None:
        try:
            run_scenarios(scenarios, traffic, rng)
        except BaseException:  # without the instance, every further callout would be lost
            traffic.stop()
            raise

    monitor = threading.Thread(target=_monitor, args=(environment, traffic), daemon=True)
    monitor.start()
    with ThreadPoolExecutor(1, "faults") as pool:
        faults = pool.submit(inject_faults)
        try:
            traffic.run(lambda callout: client.run(callout, f"{seed}/{callout.number}"))
        finally:
            traffic.stop()
        faults.result()
    monitor.join()
    return scenarios.injections


def _monitor(environment: Environment, traffic: Traffic) -> None:
    """Regularly record the machine's load, and discard the emails that SendGrid's emulator keeps, which are counted."""
    while not traffic.is_over:
        environment.sendgrid.clear()
        environment.recorder.max_load = max(environment.recorder.max_load, os.getloadavg()[0])
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
