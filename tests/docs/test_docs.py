"""The documentation matches the project: everything it names exists, and its settings are the code's."""

import re
from pathlib import Path

import pytest

from deploy import config
from deploy.deployment import DEPLOYMENT_SETTINGS
from settings import PUBLIC_TARGET, load

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("auth0/*.md")])
GITHUB_PAGES = (
    "../../actions/",
    "../../compare/",
    "../../releases/",
    "../../security/",
)  # relative to a document in the root folder
NOT_SETTINGS = {"FUNCTION_TARGET", "no_proxy", "NO_PROXY", "https_proxy", "HTTPS_PROXY", "REQUESTS_CA_BUNDLE"}


def for_each_document() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def setting_names() -> set[str]:
    source = (ROOT / "settings.py").read_text("utf-8")
    return set(re.findall(r'(?:get|need|need_queue|require)\(\s*"([A-Za-z_]+)"', source)) - NOT_SETTINGS


def table(document: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading, without the header; a row is its cells."""
    section = (ROOT / document).read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    _, _, *rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return rows


def test_the_configuration_lists_exactly_the_functions_settings() -> None:
    names = [name.strip("`") for name, *_ in table("docs/configuration.md", "The function")]

    assert sorted(names) == sorted(setting_names())


def test_the_configuration_lists_the_settings_of_deploy_sh_with_the_defaults_of_the_example() -> None:
    example = config.read(ROOT / "env.yaml.example")
    rows = {name.strip("`"): default.strip("`") for name, default, _ in table("docs/configuration.md", "deploy.sh")}

    assert rows == {name: example[name] for name in DEPLOYMENT_SETTINGS}


def test_the_configurations_commands_set_everything_that_is_required() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    variables = dict(re.findall(r"([A-Z_]+)=(\S+)", page.rpartition("```sh\n")[2]))

    assert load({**variables, "FUNCTION_TARGET": PUBLIC_TARGET}).sender_email == variables["SENDER_EMAIL"]
    assert f"--target {PUBLIC_TARGET}\n" in page


def test_the_index_lists_every_document_once() -> None:
    linked = re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "docs" / "README.md").read_text("utf-8"))

    assert sorted(linked) == sorted(file.name for file in ROOT.glob("docs/*.md") if file.name != "README.md")


@for_each_document()
def test_linked_files_and_headings_exist(document: Path) -> None:
    missing = []
    for link, heading in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", document.read_text("utf-8")):
        target = document.parent / link if link else document
        is_remote = "://" in link or link.startswith(GITHUB_PAGES)
        if not is_remote and (not target.exists() or (heading and heading not in headings(target))):
            missing.append(f"{link}#{heading}")

    assert not missing


def headings(document: Path) -> set[str]:
    """Return the IDs of a document's headings on GitHub, or none for a folder or a missing document."""
    text = document.read_text("utf-8") if document.suffix == ".md" else ""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@for_each_document()
def test_named_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text("utf-8"), re.MULTILINE))

    assert named <= targets


@for_each_document()
def test_named_files_exist(document: Path) -> None:
    named = re.findall(
        r"`((?:runtime|notice|auth0|emulator|doctor|chaos|bench|tests|docs|scripts)/[\w./-]+)`",
        document.read_text("utf-8"),
    )
    missing = [name for name in named if not (ROOT / name).exists()]

    assert not missing


@for_each_document()
def test_named_tests_exist(document: Path) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", document.read_text("utf-8"))
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text("utf-8")]

    assert not missing


def test_the_threat_model_names_a_test_for_each_threat() -> None:
    _, *rows = re.findall(r"^\| (?!---)(.*) \|$", (ROOT / "docs" / "security.md").read_text("utf-8"), re.MULTILINE)
    untested = [row.split("|")[0] for row in rows if "::test_" not in row]

    assert rows
    assert not untested
