"""Child processes: what ends them, and what doesn't."""

import signal
import subprocess
import sys
import threading

import pytest

from emulator.core.child import Child
from tests.support.processes import descendants, needs_proc, surviving

pytestmark = needs_proc

# Prints its process ID and that of its own child, both of which ignore the signals of a terminal.
FAMILY = "trap '' HUP INT TERM; sleep 600 & echo $$ $!; wait"
PARENT = f"""
import subprocess, sys
from emulator.core.child import Child
child = Child(["sh", "-c", {FAMILY!r}], stdout=subprocess.PIPE, text=True)
print(child.stdout.readline(), end="", flush=True)
sys.stdin.read()
"""


def start(*command: str, **options: object) -> tuple[Child[str], list[int]]:
    """Start a command, and return it and the process IDs that it prints."""
    child: Child[str] = Child(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)
    assert child.stdin
    assert child.stdout
    return child, [int(word) for word in child.stdout.readline().split()]


def end(child: Child[str]) -> None:
    child.kill()
    child.communicate()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_a_child_and_its_own_children_end_with_a_parent_that_is_killed(how: signal.Signals) -> None:
    parent, family = start(sys.executable, "-c", PARENT)
    processes = [*family, *descendants(parent.pid)]
    assert len(set(processes)) == 3  # with the watcher
    parent.send_signal(how)
    assert surviving(processes) == []
    assert subprocess.Popen.wait(parent) == -how
    end(parent)


def test_killing_a_child_kills_what_it_started() -> None:
    child, family = start("sh", "-c", FAMILY)
    child.kill()
    assert surviving(family) == []
    assert child.wait() == -signal.SIGKILL
    end(child)


def test_what_a_child_leaves_running_ends_when_it_has_ended() -> None:
    child, [left] = start("sh", "-c", "sleep 600 & echo $!; read -r _; exit 3")
    assert child.stdin
    child.stdin.close()
    assert child.wait() == 3
    assert surviving([left]) == []
    child.stdout.close()  # type: ignore[union-attr]


def test_a_child_survives_the_thread_that_started_it() -> None:
    started: list[tuple[Child[str], list[int]]] = []
    thread = threading.Thread(target=lambda: started.append(start("sh", "-c", FAMILY)))
    thread.start()
    thread.join()
    [(child, family)] = started
    assert surviving(family, timeout=0) == family
    end(child)


def test_a_command_that_does_not_exist_leaves_no_process() -> None:
    parent = """
import os
from emulator.core.child import Child
try:
    Child(["./no-such-command"])
except FileNotFoundError:
    try:
        os.wait()
    except ChildProcessError:
        print("no child")
"""
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=False)
    assert done.stdout == "no child\n", done.stderr
