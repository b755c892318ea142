"""Tests that the requirements are complete and locked."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distributions
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import pytest

from emulator.cloud_run.process import PROJECT_ROOT

OURS = {file.stem for file in PROJECT_ROOT.iterdir() if file.is_dir() or file.suffix == ".py"}
PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[\w.]+)(?P<marker> ; .+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")


class Layer(NamedTuple):
    """A pair of requirements files and what they are for; each layer includes the ones before."""

    requirements: str  # without .in or .txt
    sources: tuple[str, ...]


LAYERS = [
    Layer("requirements", ("main.py", "settings.py", "runtime", "notice")),
    Layer("emulator/requirements", ("emulator", "audit", "deploy", "doctor", "auth0")),
    Layer("requirements-dev", ("bench", "chaos", "scripts", "tests")),
]
FOR_TESTS = {PROJECT_ROOT / "emulator" / "testing.py"}  # the fixtures that a user's own tests import


def python_files(layer: Layer) -> set[Path]:
    paths = [PROJECT_ROOT / source for source in layer.sources]
    files = {file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))}
    return files | FOR_TESTS if layer is LAYERS[-1] else files - FOR_TESTS


def imported_modules(file: Path) -> Iterator[str]:
    """Yield the name of each module that the file imports, anywhere in it; also `MODULE.NAME` of `from` imports."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def distribution(module: str) -> str:
    """Return the normalized name of the distribution that contains a module. Namespace packages belong to none."""
    for name in accumulate(module.split("."), "{}.{}".format):
        spec = find_spec(name)
        if spec and spec.origin:
            return owners()[spec.origin]
    raise AssertionError(f"{module} isn't installed")


@cache
def owners() -> dict[str, str]:
    """Return the distribution of each installed file."""
    owners = {}
    for distribution in distributions():
        record, name = distribution.read_text("RECORD") or "", normalize(distribution.name)
        owners.update({str(distribution.locate_file(line.partition(",")[0])): name for line in record.splitlines()})
    return owners


def normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def direct(layer: Layer) -> dict[str, str]:
    """Return the layer's own direct dependencies: the normalized name and the comment of each."""
    lines = (PROJECT_ROOT / f"{layer.requirements}.in").read_text("utf-8").splitlines()
    entries = [line.partition("#") for line in lines if not line.startswith(("#", "-"))]
    return {normalize(re.split("[=<>~! ]", entry)[0]): comment.strip() for entry, _, comment in entries}


def locked(layer: Layer) -> dict[str, str]:
    """Return the version and marker of each locked package."""
    text = (PROJECT_ROOT / f"{layer.requirements}.txt").read_text("utf-8")
    return {pin["name"]: pin["version"] + (pin["marker"] or "") for pin in PIN.finditer(text)}


def including(layer: Layer) -> list[Layer]:
    return LAYERS[: LAYERS.index(layer) + 1]


each_layer = pytest.mark.parametrize("layer", LAYERS, ids=[layer.requirements for layer in LAYERS])


@each_layer
def test_every_imported_package_is_a_direct_dependency(layer: Layer) -> None:
    allowed = {name for each in including(layer) for name in direct(each)}
    imported = {
        module: file
        for file in python_files(layer)
        for module in imported_modules(file)
        if module.partition(".")[0] not in OURS | sys.stdlib_module_names
    }
    assert imported
    assert {module: file for module, file in imported.items() if distribution(module) not in allowed} == {}


def test_every_python_file_is_in_a_layer() -> None:
    visible = [path for path in PROJECT_ROOT.iterdir() if not path.name.startswith(".")]
    files = {file for path in visible for file in ([path] if path.suffix == ".py" else path.rglob("*.py"))}
    users = {*PROJECT_ROOT.glob("test_*.py"), PROJECT_ROOT / "conftest.py"}
    assert files - users == {file for layer in LAYERS for file in python_files(layer)}


@each_layer
def test_each_direct_dependency_states_why_it_is_needed(layer: Layer) -> None:
    assert [name for name, reason in direct(layer).items() if not reason] == []


@each_layer
def test_every_direct_dependency_is_locked(layer: Layer) -> None:
    assert direct(layer).keys() - locked(layer).keys() == set()


@each_layer
def test_the_lock_has_only_versions_hashes_and_comments(layer: Layer) -> None:
    """A line that isn't one of those could name an index, or be a package without a hash."""
    lines = (PROJECT_ROOT / f"{layer.requirements}.txt").read_text("utf-8").splitlines()
    code = [line for line in lines if not line.lstrip().startswith("#")]
    assert [line for line in code if not PIN.fullmatch(line) and not HASH.fullmatch(line)] == []
    comments = [line for line in lines if line.lstrip().startswith("#")]
    assert [line for line in comments if "://" in line or str(PROJECT_ROOT) in line] == []


@each_layer
def test_the_layers_lock_the_same_versions(layer: Layer) -> None:
    last = locked(LAYERS[-1])
    assert {name: version for name, version in locked(layer).items() if last.get(name) != version} == {}


def test_the_versions_that_are_installed_are_the_locked_ones() -> None:
    installed = {normalize(each.name): each.version for each in distributions()}
    versions = {name: version.partition(" ;")[0] for name, version in locked(LAYERS[-1]).items()}
    assert {
        name: installed[name] for name, version in versions.items() if installed.get(name, version) != version
    } == {}
