"""The baseline: Auth0's SendGrid sample Action, run by the Auth0 emulator with the SendGrid faults of a chaos run.

As in Auth0, it runs once for each password change, and is abandoned after a timeout.
"""

import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import requests_file
from bench.candidate import install_sample_action
from chaos.recorder import Recorder
from chaos.report import Outcome, summarize
from chaos.request import ChaosCallout
from chaos.scenarios import Injection
from chaos.traffic import Traffic
from emulator.auth0.runtime import FakeAuth0
from emulator.core.faults import Faults
from emulator.emulator import SETTINGS
from emulator.sendgrid.server import FakeSendGrid

SAMPLE_ACTION = Path(__file__).with_name("sample_action.js")
SENDGRID_URL = "https://api.sendgrid.com"
# Without `await`, the handler ends before its request. The emulator lets the request finish, which is the best case:
# Auth0 doesn't document what happens to it.
SAMPLES = {"sample Action, awaited": True, "sample Action, as in Auth0's documentation": False}
LAST_REQUEST_SECONDS = 10.0


def run_samples(
    callouts: Sequence[ChaosCallout], per_second: float, injections: Sequence[Injection], timeout: float
) -> list[Outcome]:
    """Run each sample with the callouts' events and with `injections`, and return its outcome.

    Auth0 abandons an execution after `timeout` seconds. Raise subprocess.CalledProcessError if npm can't install axios.
    """
    folder = install_sample_action()

    def run(name: str) -> Outcome:
        return _run(name, folder, Traffic(callouts, per_second), injections, timeout)

    with ThreadPoolExecutor(len(SAMPLES)) as pool:
        return list(pool.map(run, SAMPLES))


def _run(name: str, folder: Path, traffic: Traffic, injections: Iterable[Injection], timeout: float) -> Outcome:
    recorder, reported = Recorder(), set[str]()
    with (
        tempfile.TemporaryDirectory(dir=folder) as work,  # Node finds axios in the parent folder
        FakeSendGrid(recorder) as sendgrid,
        FakeAuth0(
            Path(work, "action.js"), recorder, {"SENDGRID_API_KEY": sendgrid.new_key()}, timeout=timeout
        ) as auth0,
        ThreadPoolExecutor(1) as pool,
    ):
        auth0.code.write_text(_sample(sendgrid.url, is_awaited=SAMPLES[name]), "utf-8")
        sendgrid.verify(SETTINGS["SENDER_EMAIL"])

        def change_password(callout: ChaosCallout) -> None:
            if callout.expects_email and auth0.run(requests_file.event(callout.address)).error:
                reported.add(callout.address)

        has_ended = threading.Event()
        replay = pool.submit(_replay, injections, traffic, sendgrid.faults, has_ended)
        try:
            traffic.run(change_password)
            _wait_for_requests(recorder, sum(callout.expects_email for callout in traffic.callouts))
        finally:
            traffic.stop()
            has_ended.set()
        replay.result()
    return summarize(name, traffic.callouts, recorder.emails, reported)


def _sample(sendgrid_url: str, *, is_awaited: bool) -> str:
    text = SAMPLE_ACTION.read_text("utf-8").replace(SENDGRID_URL, sendgrid_url)
    return text if is_awaited else text.replace("await axios", "axios")


def _replay(injections: Iterable[Injection], traffic: Traffic, faults: Faults, has_ended: threading.Event) -> None:
    """Inject each fault at the same callout as in the recorded run, for at most the same time."""
    for injection in injections:
        traffic.wait_for_start(injection.callout)
        faults.add(injection.fault)
        deadline = time.monotonic() + injection.seconds
        while faults.pending() and time.monotonic() < deadline and not has_ended.wait(0.01):
            pass
        faults.clear()


def _wait_for_requests(recorder: Recorder, count: int) -> None:
    """Wait for the requests that the handlers didn't await; each execution makes one."""
    deadline = time.monotonic() + LAST_REQUEST_SECONDS
    while recorder.sendgrid_requests < count and time.monotonic() < deadline:
        time.sleep(0.01)
