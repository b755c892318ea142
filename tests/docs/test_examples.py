"""The examples in the documentation can be followed: their edits apply, and their tests pass."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = ("auth0", "emulator", "notice", "runtime", "main.py", "settings.py", "pyproject.toml")
BLOCK = re.compile(r"^( *)```(python|diff)\n\1(?:#|---) (.+)\n((?:.*\n)*?)\1```$", re.MULTILINE)
EXAMPLES = sorted(file.name for file in ROOT.glob("docs/*.md") if BLOCK.search(file.read_text("utf-8")))


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Copy the project, and edit the copy as the document describes."""
    for name in PROJECT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    for indent, language, name, text in BLOCK.findall((ROOT / "docs" / request.param).read_text("utf-8")):
        file, content = tmp_path / name.removesuffix(", at the end"), re.sub(f"^{indent}", "", text, flags=re.MULTILINE)
        if language == "diff":
            file.write_text(apply(content, to=file), "utf-8")
        elif file.exists():
            file.write_text(f"{file.read_text('utf-8')}\n\n{content}", "utf-8")
        else:
            file.write_text(content, "utf-8")
    return tmp_path


def apply(diff: str, *, to: Path) -> str:
    """Return the file's text with a hunk applied, wherever its lines are, unless it already is."""
    lines = [line if line[0] in " +-" else f" {line}" for line in diff.splitlines(keepends=True)]
    old = "".join(line[1:] for line in lines if line[0] != "+")
    new = "".join(line[1:] for line in lines if line[0] != "-")
    text = to.read_text("utf-8")
    assert new in text or text.count(old) == 1, f"{to.name} doesn't contain these lines once:\n{old}"
    return text if new in text else text.replace(old, new)


def test_the_tests_of_an_example_pass(example: Path) -> None:
    tests = [file.name for file in example.glob("test_*.py")]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        command, cwd=example, env=environment, capture_output=True, text=True, timeout=120, check=False
    )

    assert tests
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "command",
    # An extended main.py may already contain the example, or other imports.
    [("format", "--check"), ("check", "--extend-per-file-ignores=main.py:F811,main.py:I001")],
    ids=["format", "check"],
)
def test_ruff_finds_no_problems_in_an_example(example: Path, command: tuple[str, str]) -> None:
    ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "--config", str(ROOT / "pyproject.toml")]
    files = [example / "main.py", *example.glob("*test*.py")]
    result = subprocess.run([*ruff, *map(str, files)], cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr
