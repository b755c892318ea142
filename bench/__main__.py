"""Benchmark password-notice against baselines and print the results."""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench import load, plot, report
from bench.candidate import NODE, ROOT, candidates
from bench.suite import FULL, QUICK, Results, Suite
from bench.upstreams import Upstreams

RESULTS_FOLDER = ROOT / ".work" / "bench"
REPORT_PAGE, PLOT = ROOT / "docs" / "performance.md", ROOT / "docs" / "performance.svg"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


def main() -> None:
    arguments = _arguments()
    load.wrk_path()  # fail immediately if wrk is missing, not after ten minutes of measuring
    results = _measure(arguments)
    RESULTS_FOLDER.mkdir(parents=True, exist_ok=True)
    (RESULTS_FOLDER / "results.json").write_text(json.dumps(results.json(), indent=1))
    text = f"{_describe_setup()}\n\n{report.tables(results)}\n"
    print(text)
    if arguments.publish:
        before, rest = REPORT_PAGE.read_text("utf-8").split(BEGIN)
        REPORT_PAGE.write_text(f"{before}{BEGIN}{text}{END}{rest.split(END)[1]}", "utf-8")
        plot.write(results, PLOT)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="run one short round, in under two minutes")
    parser.add_argument(
        "--publish", action="store_true", help="write the tables and the plot into docs/ (requires a full run)"
    )
    parser.add_argument("--tree", type=Path, default=ROOT, help="measure the function in another source folder")
    arguments = parser.parse_args()
    if arguments.publish and arguments.quick:
        parser.error("--publish requires a full run: remove --quick")
    return arguments


def _measure(arguments: argparse.Namespace) -> Results:
    started = time.monotonic()

    def report_progress(text: str) -> None:
        print(f"[{time.monotonic() - started:4.0f} s] {text}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Upstreams(Path(folder)) as upstreams:
        measured = candidates(Path(folder), upstreams, arguments.tree)
        return Suite(QUICK if arguments.quick else FULL, measured, upstreams, Path(folder)).run(report_progress)


def _describe_setup() -> str:
    machine = next(iter(_cpu_names()), platform.machine())
    date = datetime.now(UTC).date().isoformat()
    node = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    return (
        f"Measured {date} on {machine}, with Python {platform.python_version()} and Node {node.removeprefix('v')}.\n"
        "Values are medians, with the minimum and maximum in parentheses."
    )


def _cpu_names() -> list[str]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return [f"{len(names)} cores of {names[0]}"] if names else []


if __name__ == "__main__":
    main()
