"""Runs the fuzzer briefly; `make fuzz` runs it longer."""

import subprocess
import sys
from pathlib import Path


def test_no_hostile_input_causes_a_500_or_succeeds_without_a_valid_signature() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--inputs", "4000", "--seed", "20261123"]

    run = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout + run.stderr
