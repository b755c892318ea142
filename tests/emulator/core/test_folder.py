"""Temporary folders: what removes them."""

import gc
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.core.folder import TemporaryFolder
from tests.support.processes import descendants, needs_proc, surviving

PARENT = """
import sys
from emulator.core.folder import TemporaryFolder
folder = TemporaryFolder("test-")
(folder.path / "file").write_text("text")
print(folder.path, flush=True)
sys.stdin.read()
"""


def test_a_folder_is_private_and_can_be_removed_twice() -> None:
    folder = TemporaryFolder("test-")
    assert folder.path.stat().st_mode & 0o777 == 0o700
    (folder.path / "file").write_text("text")
    folder.remove()
    folder.remove()
    assert not folder.path.exists()


def test_a_folder_that_nothing_refers_to_is_removed() -> None:
    folder = TemporaryFolder("test-")
    path = folder.path
    del folder
    gc.collect()
    assert not path.exists()


def test_removing_a_folder_leaves_what_its_links_lead_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    folder = TemporaryFolder("test-")
    (folder.path / "link").symlink_to(tmp_path)
    folder.remove()
    assert (tmp_path / "file").exists()


@needs_proc
@pytest.mark.parametrize("how", [None, signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_a_folder_does_not_survive_its_process(how: signal.Signals | None) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert parent.stdout
    path = Path(parent.stdout.readline().strip())
    assert (path / "file").exists()
    processes = descendants(parent.pid)
    if how:
        parent.send_signal(how)
    parent.communicate()
    assert surviving(processes) == []
    assert not path.exists()
