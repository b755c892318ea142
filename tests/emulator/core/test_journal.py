"""The journal: order, filters, and waiting."""

import threading

from emulator.core.journal import Entry, Journal


def test_entries_are_numbered_in_order() -> None:
    journal = Journal()
    first, second = journal.record("a.one", text="x"), journal.record("a.two")
    assert (first.number, second.number) == (1, 2)
    assert first.data == {"text": "x"}
    assert journal.entries() == [first, second]
    assert journal.entries(after=1) == [second]


def test_a_kind_matches_itself_and_its_subkinds() -> None:
    journal = Journal()
    for kind in ("mail", "mail.sent", "mailbox", "mail.sent.late"):
        journal.record(kind)
    assert [entry.kind for entry in journal.entries(kind="mail")] == ["mail", "mail.sent", "mail.sent.late"]
    assert [entry.kind for entry in journal.entries(kind="mail.sent")] == ["mail.sent", "mail.sent.late"]


def test_wait_returns_a_matching_entry_or_none_after_the_timeout() -> None:
    journal = Journal()
    entry = journal.record("a")
    assert journal.wait(lambda entry: entry.kind == "a", timeout=0) == entry
    assert journal.wait(lambda entry: entry.kind == "a", after=1, timeout=0) is None
    assert journal.wait(lambda entry: entry.kind == "b", timeout=0) is None


def test_wait_returns_when_another_thread_records() -> None:
    journal, found = Journal(), list[Entry | None]()
    waiter = threading.Thread(target=lambda: found.append(journal.wait(lambda entry: entry.kind == "b", timeout=20)))
    waiter.start()
    journal.record("a")
    entry = journal.record("b")
    waiter.join(20)
    assert found == [entry]


def test_threads_can_record_concurrently() -> None:
    journal = Journal()
    threads = [threading.Thread(target=lambda: [journal.record("a") for _ in range(100)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.number for entry in journal.entries()] == list(range(1, 801))


def test_numbers_continue_after_clear() -> None:
    journal = Journal()
    journal.record("a")
    journal.clear()
    assert journal.entries() == []
    assert journal.record("a").number == 2


def test_only_the_latest_entries_are_kept() -> None:
    journal = Journal(limit=4)
    for _ in range(20):
        journal.record("a")
    assert 4 <= len(journal.entries()) <= 5
    assert journal.entries()[-1].number == journal.last_number == 20
    assert [entry.number for entry in journal.entries(after=18)] == [19, 20]


def test_each_entry_is_passed_on_before_others_see_it() -> None:
    seen: list[tuple[int, int]] = []
    journal = Journal(on_record=lambda entry: seen.append((entry.number, len(journal.entries()))))
    journal.record("a")
    journal.record("b")
    assert seen == [(1, 1), (2, 2)]
