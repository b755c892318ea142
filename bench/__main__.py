"""Measures ours and its peers side by side and prints the tables: `python -m bench`, or `--quick`."""

import argparse
import json
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench import load, plot, report
from bench.candidate import ROOT, peers
from bench.suite import FULL, QUICK, Results, Suite
from bench.upstreams import Upstreams

KEPT = ROOT / ".work" / "bench"
PAGE, PLOT = ROOT / "docs" / "performance.md", ROOT / "docs" / "performance.svg"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


def main() -> None:
    arguments = _arguments()
    load.wrk()  # better missed now than in ten minutes
    results = _measure(arguments)
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / "results.json").write_text(json.dumps(results.json(), indent=1))
    text = f"{_circumstances()}\n\n{report.tables(results)}\n"
    print(text)
    if arguments.publish:
        before, rest = PAGE.read_text("utf-8").split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}{text}{END}{rest.split(END)[1]}", "utf-8")
        plot.write(results, PLOT)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, under two minutes")
    parser.add_argument("--publish", action="store_true", help="put tables and plot into docs/ (not with --quick)")
    parser.add_argument("--tree", type=Path, default=ROOT, help="measure the product of another folder")
    arguments = parser.parse_args()
    if arguments.publish and arguments.quick:
        parser.error("--publish takes a full run")
    return arguments


def _measure(arguments: argparse.Namespace) -> Results:
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:4.0f} s] {text}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Upstreams(Path(folder)) as outside:
        found = peers(Path(folder), outside, arguments.tree)
        return Suite(QUICK if arguments.quick else FULL, found, outside, Path(folder)).run(say)


def _circumstances() -> str:
    cores = next(iter(_cpu_names()), platform.machine())
    when = datetime.now(UTC).date().isoformat()
    return (
        f"Measured {when} on {cores}, Python {platform.python_version()}. Medians, in brackets the lowest and highest."
    )


def _cpu_names() -> list[str]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return [f"{len(names)} cores of {names[0]}"] if names else []


if __name__ == "__main__":
    main()
