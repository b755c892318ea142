import pytest

from runtime.api import Api, Cache
from tests.conftest import FakeTime

DAY = 24 * 60 * 60 * 1000


@pytest.fixture
def cache(time: FakeTime) -> Cache:
    return Api(time.clock).cache


def test_what_is_set_is_got_until_it_is_deleted(cache: Cache) -> None:
    assert cache.get("k") is None

    write = cache.set("k", "v")
    record = cache.get("k")

    assert (write.type, write.code, write.record) == ("success", None, record)
    assert record is not None
    assert record.value == "v"
    assert cache.delete("k").type == "success"
    assert cache.get("k") is None


def test_deleting_what_is_not_there_is_an_error(cache: Cache) -> None:
    write = cache.delete("k")

    assert (write.type, write.code) == ("error", "CacheKeyDoesNotExist")


def test_record_lives_fifteen_minutes_by_default(cache: Cache, time: FakeTime) -> None:
    cache.set("k", "v")

    time.advance(15 * 60 - 1)
    assert cache.get("k") is not None
    time.advance(1)
    assert cache.get("k") is None


def test_expired_record_cannot_be_deleted(cache: Cache, time: FakeTime) -> None:
    cache.set("k", "v", ttl=1000)
    time.advance(1)

    assert cache.delete("k").code == "CacheKeyDoesNotExist"


@pytest.mark.parametrize(
    ("ttl", "expires_in", "lives"),
    [(1000, None, 1000), (None, 2000, 2000), (1000, 2000, 1000), (2000, 1000, 1000), (DAY, None, DAY)],
)
def test_earlier_of_both_ends_holds(
    cache: Cache, time: FakeTime, ttl: float | None, expires_in: float | None, lives: float
) -> None:
    now = time.now * 1000
    write = cache.set("k", "v", ttl=ttl, expires_at=None if expires_in is None else now + expires_in)

    assert write.record is not None
    assert write.record.expires_at == now + lives


@pytest.mark.parametrize(
    ("ttl", "expires_at", "code"),
    [
        (0, None, "ItemAlreadyExpired"),
        (-1, None, "ItemAlreadyExpired"),
        (None, 0, "ItemAlreadyExpired"),
        (None, 5, "ItemAlreadyExpired"),
        (DAY + 1, None, "InvalidExpiry"),
    ],
)
def test_impossible_life_is_an_error(cache: Cache, ttl: float | None, expires_at: float | None, code: str) -> None:
    write = cache.set("k", "v", ttl=ttl, expires_at=expires_at)

    assert (write.type, write.code, write.record) == ("error", code, None)
    assert cache.get("k") is None


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("k" * 64, "v" * 4096, None),
        ("ü" * 32, "ü" * 2048, None),
        ("k" * 65, "v", "CacheKeySizeExceeded"),
        ("ü" * 33, "v", "CacheKeySizeExceeded"),
        ("k", "v" * 4097, "CacheValueSizeExceeded"),
        ("k", "ü" * 2049, "CacheValueSizeExceeded"),
        ("\ud800", "v", None),
    ],
)
def test_sizes_are_limited_in_bytes(cache: Cache, key: str, value: str, code: str | None) -> None:
    assert cache.set(key, value).code == code


def test_end_that_is_now_has_passed(cache: Cache, time: FakeTime) -> None:
    assert cache.set("k", "v", expires_at=time.now * 1000).code == "ItemAlreadyExpired"


def test_all_together_may_have_eight_kilobytes(cache: Cache) -> None:
    assert cache.set("a", "v" * 4095).code is None
    assert cache.set("b", "v" * 4096).code == "CacheSizeExceeded"
    assert cache.set("b", "v" * 4095).code is None
    assert cache.set("b", "w" * 4095).code is None  # in place of the former


def test_twenty_entries_fit_and_may_be_overwritten(cache: Cache) -> None:
    codes = [cache.set(str(number), "v").code for number in range(21)]

    assert codes == [None] * 20 + ["MaxSideEffectsExceeded"]
    assert cache.set("0", "w").code is None


def test_expired_entries_make_room(cache: Cache, time: FakeTime) -> None:
    for number in range(20):
        cache.set(str(number), "v", ttl=1000)
    time.advance(1)

    assert cache.set("new", "v").code is None
