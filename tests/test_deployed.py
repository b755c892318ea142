"""What is deployed is small, complete, and leans on nothing that stays at home."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

from emulator.function import SOURCE
from tests.end_to_end.callouts import new_address, notice_to
from tests.end_to_end.stage import Stage
from tests.end_to_end.witness import Witness
from tests.gcloud import environment, gcloud, needs_gcloud

LAYERS = ["settings", "actions", "notice", "main"]  # each imports itself and what stands before it
AT_HOME = {"emulator", "tests", "bench", "tenant"}
COMMENT = re.compile(r"#.*|\s.*")


def imports(file: Path) -> set[str]:
    """The top-level names that a file imports, wherever in it."""
    tree = ast.parse(file.read_text("utf-8"))
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    froms = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in plain | froms}


def python_files(*places: Path) -> list[Path]:
    return [file for place in places for file in ([place] if place.is_file() else sorted(place.rglob("*.py")))]


def normal(name: str) -> str:
    return re.split(r"[\s\[<>=!~;(]", name.strip())[0].lower().replace("_", "-").replace(".", "-")


def with_dependencies(names: Iterable[str]) -> set[str]:
    """The packages and all that they bring, extras left out."""
    found, open_ends = set(), list(names)
    while open_ends:
        name = normal(open_ends.pop())
        if name not in found:
            found.add(name)
            open_ends += [each for each in _requires(name) if "extra ==" not in each]
    return found


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except ImportError:  # for another platform or version of Python
        return []


@pytest.fixture(scope="module")
def uploaded(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What .gcloudignore lets through. Its rules are git's, so git reads them, in a repository that knows no file."""
    if shutil.which("git") is None:
        pytest.skip("git is not on the PATH")
    repository = tmp_path_factory.mktemp("git")
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True)
    git = ["git", f"--git-dir={repository}/.git", f"--work-tree={SOURCE}"]
    listing = [*git, "ls-files", "-z", "--others", f"--exclude-from={SOURCE}/.gcloudignore"]
    listed = subprocess.run(listing, cwd=SOURCE, check=True, capture_output=True, text=True)
    return sorted(listed.stdout.rstrip("\0").split("\0"))


@pytest.fixture(scope="module")
def deployed(uploaded: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deployed")
    for name in uploaded:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCE / name, folder / name)
    return folder


def test_only_the_product_is_uploaded(uploaded: list[str]) -> None:
    single = {name for name in uploaded if "/" not in name}
    assert single == {"main.py", "settings.py", "requirements.txt"}
    assert {name.partition("/")[0] for name in uploaded} - single == {"actions", "notice"}
    assert not [name for name in uploaded if "__pycache__" in name or name.endswith(".pyc")]


def test_all_of_the_product_is_uploaded(uploaded: list[str]) -> None:
    product = {str(file.relative_to(SOURCE)) for file in python_files(SOURCE / "actions", SOURCE / "notice")}
    assert product | {"main.py", "settings.py", "requirements.txt"} <= set(uploaded)


@needs_gcloud
def test_gcloud_reads_the_ignore_file_as_git_does(uploaded: list[str], tmp_path: Path) -> None:
    done = gcloud(environment(tmp_path), "meta", "list-files-for-upload", str(SOURCE))
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == uploaded


def test_what_is_uploaded_sends_a_mail_on_its_own(deployed: Path, tmp_path: Path) -> None:
    witness = Witness()
    with Stage(witness, {"PYTHONPATH": ""}, mounted=tmp_path, source=deployed / "main.py") as stage:
        assert stage.send(notice_to(new_address())).body["status"] == "sent"
    witness.check(everything=True)


def test_every_import_is_of_the_product_the_library_or_what_requirements_bring(deployed: Path) -> None:
    lines = [COMMENT.sub("", line) for line in (deployed / "requirements.txt").read_text("utf-8").splitlines()]
    allowed = with_dependencies(line for line in lines if line)
    known = packages_distributions()
    foreign = (
        {name for file in python_files(deployed) for name in imports(file)} - set(LAYERS) - sys.stdlib_module_names
    )
    assert foreign
    assert {name for name in foreign if not {normal(each) for each in known.get(name, [])} & allowed} == set()


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_one_way(layer: str) -> None:
    above = set(LAYERS[LAYERS.index(layer) + 1 :])
    files = python_files(*(path for path in (SOURCE / layer, SOURCE / f"{layer}.py") if path.exists()))
    assert files
    assert {file.name: imports(file) & (above | AT_HOME) for file in files if imports(file) & (above | AT_HOME)} == {}


def test_the_emulator_imports_nothing_of_the_product() -> None:
    files = python_files(SOURCE / "emulator")
    assert {file.name: imports(file) & set(LAYERS) for file in files if imports(file) & set(LAYERS)} == {}


# deploy.sh

STAND_IN = """#!/bin/sh
case "$*" in
  "config get project") echo demo-proj ;;
  *)
    printf '%s\\0' "$@" >>"$RECORD/arguments"
    printf '\\0' >>"$RECORD/arguments"
    for word in "$@"; do
      case "$word" in --env-vars-file=*) cp "${word#*=}" "$RECORD/environment.yaml" ;; esac
    done ;;
esac
"""


def deploy(folder: Path, *words: str, env_yaml: str = "") -> subprocess.CompletedProcess[str]:
    """Runs deploy.sh in a folder of its own, with a gcloud that only writes down what it is asked."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "gcloud").write_text(STAND_IN)
    (programs / "gcloud").chmod(0o755)
    shutil.copy(SOURCE / "deploy.sh", folder / "deploy.sh")
    if env_yaml:
        (folder / "env.yaml").write_text(env_yaml, "utf-8")
    inherited = {name: value for name, value in os.environ.items() if name not in ("REGION", "SERVICE")}
    variables = {**inherited, "RECORD": str(folder), "PATH": f"{programs}:{os.environ['PATH']}"}
    command = ["bash", str(folder / "deploy.sh"), *words]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def commands(folder: Path) -> list[list[str]]:
    written = (folder / "arguments").read_text("utf-8")
    return [command.rstrip("\0").split("\0") for command in written.split("\0\0") if command]


EXAMPLE = (SOURCE / "env.yaml.example").read_text("utf-8")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deploy")
    done = deploy(folder, env_yaml=EXAMPLE)
    assert done.returncode == 0, done.stderr
    return folder


def test_deploy_matches_the_concurrency_to_the_threads(asked: Path) -> None:
    [run] = [command for command in commands(asked) if command[:2] == ["run", "deploy"]]
    threads = re.search(r'^THREADS: "(\d+)"', EXAMPLE, re.MULTILINE)
    assert threads is not None
    assert f"--concurrency={threads[1]}" in run
    assert "--function=on_execute_post_change_password" in run
    assert "--source=." in run


def test_deploy_hands_over_the_settings_and_the_project(asked: Path) -> None:
    handed = (asked / "environment.yaml").read_text("utf-8")
    names = re.findall(r"^([A-Z_]+):", handed, re.MULTILINE)
    assert set(re.findall(r"^([A-Z_]+):", EXAMPLE, re.MULTILINE)) | {"GOOGLE_CLOUD_PROJECT"} == set(names)
    assert len(set(names)) == len(names)
    assert 'GOOGLE_CLOUD_PROJECT: "demo-proj"' in handed


@needs_gcloud
def test_gcloud_knows_every_command_of_deploy_with_its_flags(asked: Path, tmp_path: Path) -> None:
    shutil.copy(asked / "environment.yaml", tmp_path)
    assert commands(asked)
    for command in commands(asked):
        words = [re.sub(r"^--env-vars-file=.*", "--env-vars-file=environment.yaml", word) for word in command]
        text = shlex.join(["gcloud", *words])
        done = gcloud(environment(tmp_path), "meta", "lint-gcloud-commands", f"--command-string={text}")
        [verdict] = json.loads(done.stdout)
        assert verdict["success"], verdict["error_message"]


def test_deploy_says_what_to_do_where_env_yaml_is_missing(tmp_path: Path) -> None:
    done = deploy(tmp_path)
    assert done.returncode != 0
    assert "env.yaml.example" in done.stderr
    assert not (tmp_path / "arguments").exists()


def test_deploy_refuses_threads_that_are_no_number(tmp_path: Path) -> None:
    done = deploy(tmp_path, env_yaml=re.sub(r"(?m)^THREADS:.*", 'THREADS: "many"', EXAMPLE))
    assert done.returncode != 0
    assert "THREADS" in done.stderr
    assert not (tmp_path / "arguments").exists()
