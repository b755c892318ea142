"""What the function asks of gunicorn."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from gunicorn import config

from runtime import process


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config.ControlSocketDisable, "default", False)


def test_gunicorn_opens_no_control_socket() -> None:
    process.prepare()
    assert config.Config().control_socket_disable is True


def test_a_gunicorn_without_control_sockets_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(config, "ControlSocketDisable")
    process.prepare()


def test_threads_share_one_arena_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=lambda *how: asked.append(how)))
    process.prepare()
    assert asked == [(-8, 1)]


def test_a_c_library_without_arenas_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    process.prepare()


def test_requests_works_without_its_detector_of_encodings_which_others_can_have() -> None:
    code = "import sys, runtime.http_client; print('charset_normalizer' in sys.modules); import charset_normalizer"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_what_was_imported_before_stays() -> None:
    with process.without("subprocess", warning="none"):
        assert sys.modules["subprocess"] is subprocess
    assert sys.modules["subprocess"] is subprocess


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux assigns processors")
class TestProcessors:
    @pytest.fixture(autouse=True)
    def _all(self) -> Iterator[None]:
        before, assign = os.sched_getaffinity(0), os.sched_setaffinity
        yield
        assign(0, before)

    def test_a_worker_keeps_to_one_of_those_it_may_use(self) -> None:
        before = os.sched_getaffinity(0)
        process._keep_to_one_processor()
        assert len(os.sched_getaffinity(0)) == 1
        assert os.sched_getaffinity(0) <= before

    def test_neighbours_keep_to_different_ones(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kept: list[set[int]] = []
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
        monkeypatch.setattr(os, "sched_setaffinity", lambda _, processors: kept.append(processors))
        for pid in (10, 11):
            monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
            process._keep_to_one_processor()
        assert kept == [{3}, {5}]

    def test_a_master_keeps_all_and_what_it_forks_has_one(self) -> None:
        code = """
import os
from runtime import process
process.prepare()
if os.fork() == 0:
    print(len(os.sched_getaffinity(0)), flush=True)
    os._exit(0)
os.wait()
print(len(os.sched_getaffinity(0)))
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["1", str(len(os.sched_getaffinity(0)))]

    def test_where_it_is_unknown_it_goes_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "sched_getaffinity")
        process._keep_to_one_processor()

    def test_where_it_is_forbidden_it_goes_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError

        monkeypatch.setattr(os, "sched_setaffinity", refuse)
        process._keep_to_one_processor()
