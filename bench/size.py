"""The size: what is deployed, and what requirements.txt brings with it."""

import re
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

from bench.candidate import ROOT

NAME = re.compile(r"[A-Za-z0-9._-]+")


def own_megabytes(installed: Path) -> float:
    """The source that is deployed, without bytecode."""
    files = (file for file in installed.rglob("*") if file.is_file() and file.suffix != ".pyc")
    return sum(file.stat().st_size for file in files) / 1e6


def packages_megabytes() -> float:
    """What requirements.txt installs, with all that it asks for in turn, bytecode included."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = [found[0] for line in lines if (found := NAME.match(line))]
    return sum(_size(name) for name in _closure(wanted)) / 1e6


def _closure(names: list[str]) -> set[str]:
    found: set[str] = set()
    while names:
        name = names.pop().lower().replace("_", "-")
        if name in found or not _is_installed(name):
            continue
        found.add(name)
        needs = (need for need in requires(name) or [] if "extra ==" not in need)
        names += [match[0] for need in needs if (match := NAME.match(need))]
    return found


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _size(name: str) -> int:
    files = (Path(str(file.locate())) for file in distribution(name).files or [])
    return sum(file.stat().st_size for file in files if file.is_file())
