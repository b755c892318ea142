"""Tests for process tuning and for blocking imports."""

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
def _default_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config.ControlSocketDisable, "default", False)


def test_gunicorn_opens_no_control_socket() -> None:
    process.tune_process()
    assert config.Config().control_socket_disable is True


def test_a_gunicorn_version_without_control_sockets_is_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(config, "ControlSocketDisable")
    process.tune_process()


def test_threads_share_one_malloc_arena(monkeypatch: pytest.MonkeyPatch) -> None:
    options: list[tuple[int, int]] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=lambda *option: options.append(option)))
    process.tune_process()
    assert options == [(-8, 1)]


def test_a_c_library_without_arenas_is_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    process.tune_process()


def test_requests_works_without_charset_normalizer_which_other_code_can_import() -> None:
    code = "import sys, runtime.http_client; print('charset_normalizer' in sys.modules); import charset_normalizer"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_a_package_that_is_already_imported_is_not_blocked() -> None:
    with process.import_blocked("subprocess", warning="none"):
        assert sys.modules["subprocess"] is subprocess
    assert sys.modules["subprocess"] is subprocess


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="requires Linux")
class TestCpuPinning:
    @pytest.fixture(autouse=True)
    def _restore_affinity(self) -> Iterator[None]:
        before, set_affinity = os.sched_getaffinity(0), os.sched_setaffinity
        yield
        set_affinity(0, before)

    def test_a_worker_is_pinned_to_one_of_its_allowed_cpus(self) -> None:
        before = os.sched_getaffinity(0)
        process._pin_to_one_cpu()
        assert len(os.sched_getaffinity(0)) == 1
        assert os.sched_getaffinity(0) <= before

    def test_consecutive_workers_are_pinned_to_different_cpus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pinned: list[set[int]] = []
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
        monkeypatch.setattr(os, "sched_setaffinity", lambda _, cpus: pinned.append(cpus))
        for pid in (10, 11):
            monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
            process._pin_to_one_cpu()
        assert pinned == [{3}, {5}]

    def test_only_forked_workers_are_pinned(self) -> None:
        code = """
import os
from runtime import process
process.tune_process()
if os.fork() == 0:
    print(len(os.sched_getaffinity(0)), flush=True)
    os._exit(0)
os.wait()
print(len(os.sched_getaffinity(0)))
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["1", str(len(os.sched_getaffinity(0)))]

    def test_an_unsupported_platform_is_ignored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "sched_getaffinity")
        process._pin_to_one_cpu()

    def test_a_permission_error_is_ignored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def deny(*_: object) -> None:
            raise PermissionError

        monkeypatch.setattr(os, "sched_setaffinity", deny)
        process._pin_to_one_cpu()
