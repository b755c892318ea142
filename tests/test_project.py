"""Tests that the project's metadata, its changelog, and the configuration of its tools agree."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def test_the_newest_release_in_the_changelog_is_the_projects_version() -> None:
    unreleased, newest, *_ = re.findall(r"^## \[(.+?)\]", CHANGELOG, re.MULTILINE)

    assert (unreleased, newest) == ("Unreleased", PYPROJECT["project"]["version"])


def test_each_version_in_the_changelog_links_to_its_changes() -> None:
    versions = re.findall(r"^## \[(.+?)\]", CHANGELOG, re.MULTILINE)
    links = dict(re.findall(r"^\[(.+?)\]: (\S+)$", CHANGELOG, re.MULTILINE))

    assert list(links) == versions
    assert links["Unreleased"] == f"../../compare/v{versions[1]}...HEAD"
    for version, previous in zip(versions[1:], [*versions[2:], None], strict=True):
        expected = f"compare/v{previous}...v{version}" if previous else f"releases/tag/v{version}"
        assert links[version] == f"../../{expected}"


def test_everything_supports_the_same_oldest_python() -> None:
    oldest = PYPROJECT["project"]["requires-python"].removeprefix(">=")

    assert PYPROJECT["tool"]["mypy"]["python_version"] == oldest
    assert f"--python-version {oldest} " in MAKEFILE


def test_the_hooks_of_pre_commit_are_the_commands_of_make_lint() -> None:
    recipe = MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0].replace("$(BIN)", ".venv/bin")
    commands = re.findall(r"^\t(\.venv.*)$", recipe, re.MULTILINE) + re.findall(r"then (shellcheck [^;]*);", recipe)
    [repository] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]

    assert sorted(hook["entry"] for hook in repository["hooks"]) == sorted(commands)


@pytest.mark.parametrize(
    "command",
    [
        *("audit --sinc 1h", "auth0.bind x", "bench --qui", "bench.starts --star 1", "chaos --call 1", "deploy --en x"),
        *("doctor --jso", "emulator --por 0", "scripts.cldr x", "scripts.preview x", "scripts.screenshots x"),
        *("scripts.translations x", "tests.fuzz --inp 1"),
    ],
)
def test_a_command_rejects_an_argument_or_an_abbreviation_that_it_does_not_know(command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, check=False)

    assert (done.returncode, done.stdout) == (2, b"")
