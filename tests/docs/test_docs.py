"""The documents against the project: what they name is there, and the example of a test passes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("auth0/*.md")])
NOT_OURS = {"FUNCTION_TARGET", "no_proxy", "NO_PROXY", "https_proxy", "HTTPS_PROXY", "REQUESTS_CA_BUNDLE"}


def documents() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def names_that_settings_read() -> set[str]:
    source = (ROOT / "settings.py").read_text("utf-8")
    return set(re.findall(r'(?:get|need|need_queue|require)\(\s*"([A-Za-z_]+)"', source)) - NOT_OURS


def test_the_readme_lists_every_setting_and_no_other() -> None:
    table = re.findall(r"^\| `([A-Z_]+)`", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)

    assert set(table) == names_that_settings_read()


@documents()
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text("utf-8"))
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]

    assert not missing


@documents()
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text("utf-8"), re.MULTILINE))

    assert named <= targets


@documents()
def test_every_file_that_is_named_exists(document: Path) -> None:
    named = re.findall(
        r"`((?:actions|notice|emulator|tenant|tests|bench|docs|scripts)/[\w./-]+)`", document.read_text("utf-8")
    )
    missing = [name for name in named if not (ROOT / name).exists()]

    assert not missing


@documents()
def test_every_test_that_is_named_exists(document: Path) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", document.read_text("utf-8"))
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text("utf-8")]

    assert not missing


def test_the_threat_model_names_a_test_for_every_threat() -> None:
    rows = re.findall(r"^\| (?!what |---)(.*) \|$", (ROOT / "docs" / "security.md").read_text("utf-8"), re.MULTILINE)
    without = [row.split("|")[0] for row in rows if "::test_" not in row]

    assert rows
    assert not without


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A folder with the files of docs/testing.md, and main.py as it says to change it."""
    main, document = ((ROOT / name).read_text("utf-8") for name in ("main.py", "docs/testing.md"))
    files = dict(re.findall(r"^```python\n# (.+)\n((?:.*\n)*?)```$", document, re.MULTILINE))
    [added] = re.findall(r"`(import \w+)` above `from flask`", document)
    main = main.replace("from flask", f"{added}\nfrom flask", 1)
    files["main.py"] = main + "\n\n" + files.pop("main.py, at its end")
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def test_the_example_of_a_test_passes(example: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_slack.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=example, env=environment, capture_output=True, text=True, timeout=120, check=False
    )

    assert "3 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    # A main.py that has more than ours may have the example already, and other imports.
    [("format", "--check"), ("check", "--extend-per-file-ignores=main.py:F811,main.py:I001")],
    ids=["format", "check"],
)
def test_ruff_finds_nothing_in_the_example_of_a_test(example: Path, command: tuple[str, str]) -> None:
    ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "--config", str(ROOT / "pyproject.toml")]
    done = subprocess.run([*ruff, str(example)], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
