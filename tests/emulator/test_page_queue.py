"""The queue's view: what waits, when it is tried again, and what a person may do about it."""

from collections.abc import Iterator

import pytest
import urllib3
from playwright.sync_api import expect

from emulator.cloud_tasks import CloudTasks
from emulator.faults import Fault
from emulator.stand_in import StandIn
from tests.emulator.site import Site, Visitor

QUEUE = "projects/emulator/locations/europe-west1/queues/notices"


@pytest.fixture
def target() -> Iterator[StandIn]:
    with StandIn("target") as target:
        yield target


@pytest.fixture
def queue(site: Site) -> Iterator[CloudTasks]:
    with CloudTasks(site.emulator.journal) as queue:
        queue.create_queue(QUEUE, {"retryConfig": {"minBackoff": "60s"}})
        site.emulator.cloud_tasks = queue
        yield queue
        site.emulator.cloud_tasks = None


def create(queue: CloudTasks, target: StandIn, name: str) -> None:
    task = {"name": f"{QUEUE}/tasks/{name}", "httpRequest": {"url": target.url, "httpMethod": "POST"}}
    answer = urllib3.request("POST", f"{queue.url}/v2/{QUEUE}/tasks", json={"task": task})
    assert answer.status == 200, answer.data


def test_without_a_queue_the_view_says_so_and_no_link_leads_there(visitor: Visitor) -> None:
    page = visitor.open("/queue")
    expect(page.get_by_text("There is no queue")).to_be_visible()
    expect(page.get_by_role("navigation", name="Views").get_by_role("link", name="Queue")).to_have_count(0)


def test_a_paused_queue_shows_its_task_until_it_goes_on(visitor: Visitor, queue: CloudTasks, target: StandIn) -> None:
    page = visitor.open("/queue")
    page.get_by_role("button", name="Pause").press("Enter")
    expect(page.get_by_text("Nothing is sent.")).to_be_visible()
    create(queue, target, "first")
    page.reload()
    expect(page.get_by_role("row", name="first")).to_contain_text("waiting")
    page.get_by_role("button", name="Go on").press("Enter")
    expect(page.get_by_text("The queue is empty.")).to_be_visible()
    assert len(target.received) == 1


def test_a_failed_task_shows_its_answer_and_is_run_now(visitor: Visitor, queue: CloudTasks, target: StandIn) -> None:
    target.faults.add(Fault("status", status=500))
    page = visitor.open("/queue")
    create(queue, target, "second")
    row = page.get_by_role("row", name="second")
    expect(row).to_contain_text("HTTP status code 500")
    expect(row).to_contain_text("UTC")
    page.get_by_role("button", name="Run all now").click()
    expect(page.get_by_text("The queue is empty.")).to_be_visible()
    assert [received.status for received in target.received] == [500, 200]


def test_a_task_is_delivered_twice_on_request(visitor: Visitor, queue: CloudTasks, target: StandIn) -> None:
    page = visitor.open("/queue")
    page.get_by_role("button", name="Deliver the next twice").click()
    expect(page.get_by_role("button", name="Deliver the next twice")).not_to_have_attribute("aria-busy", "true")
    create(queue, target, "third")
    assert queue.wait_until_empty(10)
    visitor.site.emulator.journal.wait(lambda _: len(target.received) == 2, timeout=10)
    assert len(target.received) == 2
