"""What is deployed is small, complete, and leans on nothing that stays at home."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

from emulator.cloud_run.process import PROJECT_ROOT
from emulator.emulator import SETTINGS, new_signing_key
from tests.end_to_end.callouts import callout_for, make_callout, make_event, new_address
from tests.end_to_end.harness import Harness
from tests.end_to_end.leak_checker import LeakChecker
from tests.support.gcloud import environment, gcloud, needs_gcloud

LAYERS = ["settings", "runtime", "notice", "main"]  # each imports itself and what stands before it
AT_HOME = {"emulator", "doctor", "tests", "bench", "chaos", "auth0", "scripts"}
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
    git = ["git", f"--git-dir={repository}/.git", f"--work-tree={PROJECT_ROOT}"]
    listing = [*git, "ls-files", "-z", "--others", f"--exclude-from={PROJECT_ROOT}/.gcloudignore"]
    listed = subprocess.run(listing, cwd=PROJECT_ROOT, check=True, capture_output=True, text=True)
    return sorted(listed.stdout.rstrip("\0").split("\0"))


@pytest.fixture(scope="module")
def deployed(uploaded: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deployed")
    for name in uploaded:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT_ROOT / name, folder / name)
    return folder


def test_only_the_product_is_uploaded(uploaded: list[str]) -> None:
    single = {name for name in uploaded if "/" not in name}
    assert single == {"main.py", "settings.py", "requirements.txt"}
    assert {name.partition("/")[0] for name in uploaded} - single == {"runtime", "notice"}
    assert not [name for name in uploaded if "__pycache__" in name or name.endswith(".pyc")]


def test_all_of_the_product_is_uploaded(uploaded: list[str]) -> None:
    product = {
        str(file.relative_to(PROJECT_ROOT)) for file in python_files(PROJECT_ROOT / "runtime", PROJECT_ROOT / "notice")
    }
    assert product | {"main.py", "settings.py", "requirements.txt"} <= set(uploaded)


@needs_gcloud
def test_gcloud_reads_the_ignore_file_as_git_does(uploaded: list[str], tmp_path: Path) -> None:
    done = gcloud(environment(tmp_path), "meta", "list-files-for-upload", str(PROJECT_ROOT))
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == uploaded


def test_what_is_uploaded_sends_a_mail_on_its_own(deployed: Path, tmp_path: Path) -> None:
    leak_checker = LeakChecker()
    with Harness(leak_checker, {"PYTHONPATH": ""}, mounted=tmp_path, source=deployed / "main.py") as harness:
        assert harness.send(callout_for(new_address())).body["status"] == "sent"
    leak_checker.check(everything=True)


@pytest.mark.slow
def test_what_is_uploaded_needs_no_more_than_its_requirements(
    deployed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Cloud Run builds it: in an environment that is new, from requirements.txt alone; both ways to the secrets."""
    fresh, mounted = tmp_path / "fresh", tmp_path / "secrets"
    install(fresh, deployed / "requirements.txt")
    mounted.mkdir()
    monkeypatch.setattr("emulator.cloud_run.process.sys.executable", str(fresh / "bin" / "python"))
    leak_checker = LeakChecker()
    for place in (mounted, None):
        with Harness(leak_checker, {"PYTHONPATH": ""}, mounted=place, source=deployed / "main.py") as harness:
            callout, without_address = callout_for(new_address()), make_callout(make_event(None))
            assert harness.send(callout).body["status"] == "sent"
            assert harness.send(callout).body["status"] == "duplicate"
            assert harness.send(without_address).body["reason"] == "no_email"
            assert harness.send(callout, key=new_signing_key()).status == 401
            assert harness.request(b"", {}, method="GET").status == 405
            harness.sendgrid.unverify(SETTINGS["SENDER_EMAIL"])
            assert harness.send(callout_for(new_address())).code == "mail_rejected"
    leak_checker.check(everything=True)
    source, installed = size(deployed), size(fresh / "lib")
    with capsys.disabled():
        print(f"\ndeployed: {source / 1e6:.2f} MB of source, {installed / 1e6:.0f} MB with what it needs")
    assert source < 2_000_000


def install(folder: Path, requirements: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "--retries=1"]
    done = subprocess.run([*pip, "install", "-r", str(requirements)], capture_output=True, text=True, check=False)
    if done.returncode and "connection" in done.stderr.lower():
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


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
    files = python_files(*(path for path in (PROJECT_ROOT / layer, PROJECT_ROOT / f"{layer}.py") if path.exists()))
    assert files
    assert {file.name: imports(file) & (above | AT_HOME) for file in files if imports(file) & (above | AT_HOME)} == {}


def test_the_emulator_imports_nothing_of_the_product() -> None:
    files = python_files(PROJECT_ROOT / "emulator")
    assert {file.name: imports(file) & set(LAYERS) for file in files if imports(file) & set(LAYERS)} == {}
