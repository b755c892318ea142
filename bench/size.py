"""Measure the size of the deployed source and of its installed dependencies."""

import re
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

from bench.candidate import ROOT

NAME = re.compile(r"[A-Za-z0-9._-]+")


def source_mb(installed: Path) -> float:
    """Return the size of the deployed source in megabytes, without bytecode."""
    files = (file for file in installed.rglob("*") if file.is_file() and file.suffix != ".pyc")
    return sum(file.stat().st_size for file in files) / 1e6


def packages_mb() -> float:
    """Return the size in megabytes of everything requirements.txt installs, including transitive dependencies."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    required = [match[0] for line in lines if (match := NAME.match(line))]
    return sum(_size(name) for name in _with_dependencies(required)) / 1e6


def _with_dependencies(names: list[str]) -> set[str]:
    packages: set[str] = set()
    while names:
        name = names.pop().lower().replace("_", "-")
        if name in packages or not _is_installed(name):
            continue
        packages.add(name)
        requirements = (text for text in requires(name) or [] if "extra ==" not in text)
        names += [match[0] for text in requirements if (match := NAME.match(text))]
    return packages


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _size(name: str) -> int:
    files = (Path(str(file.locate())) for file in distribution(name).files or [])
    return sum(file.stat().st_size for file in files if file.is_file())
