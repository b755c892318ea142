import pytest

from runtime.api import Api, Cache
from tests.conftest import FakeTime

DAY = 24 * 60 * 60 * 1000


@pytest.fixture
def cache(time: FakeTime) -> Cache:
    return Api(time.clock).cache


def test_a_value_is_returned_until_it_is_deleted(cache: Cache) -> None:
    assert cache.get("k") is None

    write = cache.set("k", "v")
    record = cache.get("k")

    assert (write.type, write.code, write.record) == ("success", None, record)
    assert record is not None
    assert record.value == "v"
    assert cache.delete("k").type == "success"
    assert cache.get("k") is None


def test_deleting_a_missing_key_is_an_error(cache: Cache) -> None:
    write = cache.delete("k")

    assert (write.type, write.code) == ("error", "CacheKeyDoesNotExist")


def test_a_record_expires_after_fifteen_minutes_by_default(cache: Cache, time: FakeTime) -> None:
    cache.set("k", "v")

    time.advance(15 * 60 - 1)
    assert cache.get("k") is not None
    time.advance(1)
    assert cache.get("k") is None


def test_an_expired_record_cannot_be_deleted(cache: Cache, time: FakeTime) -> None:
    cache.set("k", "v", ttl=1000)
    time.advance(1)

    assert cache.delete("k").code == "CacheKeyDoesNotExist"


@pytest.mark.parametrize(
    ("ttl", "expires_in", "lifetime"),
    [(1000, None, 1000), (None, 2000, 2000), (1000, 2000, 1000), (2000, 1000, 1000), (DAY, None, DAY)],
)
def test_the_earlier_expiry_applies(
    cache: Cache, time: FakeTime, ttl: float | None, expires_in: float | None, lifetime: float
) -> None:
    now = time.now * 1000
    write = cache.set("k", "v", ttl=ttl, expires_at=None if expires_in is None else now + expires_in)

    assert write.record is not None
    assert write.record.expires_at == now + lifetime


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
def test_an_invalid_lifetime_is_an_error(cache: Cache, ttl: float | None, expires_at: float | None, code: str) -> None:
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


def test_an_expiry_of_now_has_already_passed(cache: Cache, time: FakeTime) -> None:
    assert cache.set("k", "v", expires_at=time.now * 1000).code == "ItemAlreadyExpired"


def test_the_total_size_is_limited_to_eight_kilobytes(cache: Cache) -> None:
    assert cache.set("a", "v" * 4095).code is None
    assert cache.set("b", "v" * 4096).code == "CacheSizeExceeded"
    assert cache.set("b", "v" * 4095).code is None
    assert cache.set("b", "w" * 4095).code is None  # replaces the previous value


def test_twenty_entries_fit_and_can_be_overwritten(cache: Cache) -> None:
    codes = [cache.set(str(number), "v").code for number in range(21)]

    assert codes == [None] * 20 + ["MaxSideEffectsExceeded"]
    assert cache.set("0", "w").code is None


def test_expired_entries_free_their_space(cache: Cache, time: FakeTime) -> None:
    for number in range(20):
        cache.set(str(number), "v", ttl=1000)
    time.advance(1)

    assert cache.set("new", "v").code is None
