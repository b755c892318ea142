"""Whatever starts the function, Node, or a server leaves no process and no folder behind when it is killed."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from emulator.cloud_run.process import PROJECT_ROOT
from emulator.core.child import Child
from tests.support.processes import descendants, needs_proc, surviving

pytestmark = needs_proc

EMULATOR = ("-m", "emulator", "--port", "0")
PYTEST = ("-m", "pytest", "-s", "-p", "no:cacheprovider", "--rootdir", ".", "test_user.py")
TEST = """
import sys
from emulator.testing import emulator
def test_user(emulator):
    emulator.run()
    print("ready", flush=True)
    sys.stdin.read()
"""
CHAOS = """
import sys
from bench.requests_file import event
from chaos.environment import Environment
with Environment("queue") as environment:
    environment.auth0.run(event("user@example.com"))
    print("ready", flush=True)
    sys.stdin.read()
"""
BENCH = """
import sys, tempfile
from pathlib import Path
from bench.candidate import CANDIDATES, _python
from bench.process import ServerProcess
from bench.requests_file import plain_request
from bench.upstreams import Upstreams
if __name__ == "__main__":
    folder, work = CANDIDATES / "hello", Path(sys.argv[1])
    with Upstreams(work), ServerProcess(_python("hello", folder), {}, folder, work / "output") as server:
        server.post(plain_request())
        print("ready", flush=True)
        sys.stdin.read()
"""


def start(folder: Path, ready: str, *arguments: str) -> Child[str]:
    """Start Python with `arguments`, and wait until it prints `ready`."""
    process: Child[str] = Child(
        [sys.executable, *arguments],
        cwd=PROJECT_ROOT if arguments == EMULATOR else folder,
        env={"PYTHONPATH": str(PROJECT_ROOT), "PATH": "/usr/bin:/bin", "TMPDIR": str(folder), "SECRETS": "mounted"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    assert process.stdout
    assert any(ready in line for line in process.stdout)
    watchdog.cancel()
    return process


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
@pytest.mark.parametrize(
    ("ready", "arguments", "least"),
    [
        ("--send", EMULATOR, 3),  # gunicorn's two processes, and Node
        ("ready", PYTEST, 3),
        ("ready", ("chaos_run.py",), 5),  # also `deliver`
        ("ready", ("benchmark.py", "."), 3),  # gunicorn's two, and the services
    ],
    ids=["emulator", "pytest", "chaos", "bench"],
)
def test_no_process_and_no_folder_is_left_behind(
    tmp_path: Path, how: signal.Signals, ready: str, arguments: tuple[str, ...], least: int
) -> None:
    for name, text in (("test_user.py", TEST), ("chaos_run.py", CHAOS), ("benchmark.py", BENCH)):
        (tmp_path / name).write_text(text)
    parent = start(tmp_path, ready, *arguments)
    processes = descendants(parent.pid)
    assert len(processes) >= least
    parent.send_signal(how)
    assert surviving([parent.pid, *processes]) == []
    assert [*tmp_path.glob("revision-*"), *tmp_path.glob("action-*"), *tmp_path.glob("secrets-*")] == []
    parent.kill()
    parent.communicate()
