"""Tests that what is deployed is small, complete, and independent of what isn't deployed."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.cloud_run.process import PROJECT_ROOT
from emulator.emulator import SETTINGS, new_signing_key
from tests.end_to_end.callouts import callout_for, make_callout, make_event, new_address
from tests.end_to_end.harness import Harness
from tests.end_to_end.leak_checker import LeakChecker
from tests.support.gcloud import environment, gcloud, needs_gcloud

LAYERS = ["settings", "runtime", "notice", "main"]  # each imports only itself and those before it
NOT_DEPLOYED = {"emulator", "doctor", "tests", "bench", "chaos", "auth0", "scripts"}


def imports(file: Path) -> set[str]:
    """Return the top-level names that a file imports, anywhere in it."""
    tree = ast.parse(file.read_text("utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported_from = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in imported | imported_from}


def python_files(*paths: Path) -> list[Path]:
    return [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))]


@pytest.fixture(scope="module")
def uploaded(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the files that .gcloudignore doesn't exclude, as git, whose syntax it has, evaluates it."""
    if shutil.which("git") is None:
        pytest.skip("git isn't on the PATH")
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
    top_level = {name for name in uploaded if "/" not in name}
    assert top_level == {"main.py", "settings.py", "requirements.txt"}
    assert {name.partition("/")[0] for name in uploaded} - top_level == {"runtime", "notice"}
    assert not [name for name in uploaded if "__pycache__" in name or name.endswith(".pyc")]


def test_the_whole_product_is_uploaded(uploaded: list[str]) -> None:
    product = {
        str(file.relative_to(PROJECT_ROOT)) for file in python_files(PROJECT_ROOT / "runtime", PROJECT_ROOT / "notice")
    }
    assert product | {"main.py", "settings.py", "requirements.txt"} <= set(uploaded)


@needs_gcloud
def test_gcloud_reads_the_ignore_file_the_same_way_as_git(uploaded: list[str], tmp_path: Path) -> None:
    done = gcloud(environment(tmp_path), "meta", "list-files-for-upload", str(PROJECT_ROOT))
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == uploaded


def test_the_uploaded_files_alone_send_an_email(deployed: Path, tmp_path: Path) -> None:
    leak_checker = LeakChecker()
    with Harness(leak_checker, {"PYTHONPATH": ""}, mounted=tmp_path, source=deployed / "main.py") as harness:
        assert harness.send(callout_for(new_address())).body["status"] == "sent"
    leak_checker.check(everything=True)


@pytest.mark.slow
def test_the_uploaded_files_need_only_their_requirements(
    deployed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run it as Cloud Run builds it: in a new environment, from requirements.txt alone, with both kinds of secrets."""
    fresh, mounted = tmp_path / "fresh", tmp_path / "secrets"
    install(fresh, deployed / "requirements.txt")
    mounted.mkdir()
    monkeypatch.setattr("emulator.cloud_run.process.sys.executable", str(fresh / "bin" / "python"))
    leak_checker = LeakChecker()
    for secrets in (mounted, None):
        with Harness(leak_checker, {"PYTHONPATH": ""}, mounted=secrets, source=deployed / "main.py") as harness:
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
        print(f"\ndeployed: {source / 1e6:.2f} MB of source, {installed / 1e6:.0f} MB with its dependencies")
    assert source < 2_000_000


def install(folder: Path, requirements: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "--retries=1"]
    done = subprocess.run([*pip, "install", "-r", str(requirements)], capture_output=True, text=True, check=False)
    if done.returncode and "connection" in done.stderr.lower():
        pytest.skip("the package index is unreachable")
    assert done.returncode == 0, done.stderr


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_go_in_one_direction(layer: str) -> None:
    later = set(LAYERS[LAYERS.index(layer) + 1 :])
    files = python_files(*(path for path in (PROJECT_ROOT / layer, PROJECT_ROOT / f"{layer}.py") if path.exists()))
    assert files
    assert {
        file.name: imports(file) & (later | NOT_DEPLOYED) for file in files if imports(file) & (later | NOT_DEPLOYED)
    } == {}


def test_the_emulator_imports_nothing_from_the_product() -> None:
    files = python_files(PROJECT_ROOT / "emulator")
    assert {file.name: imports(file) & set(LAYERS) for file in files if imports(file) & set(LAYERS)} == {}
