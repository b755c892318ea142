"""The secrets of the Secret Manager emulator, and their versions and states."""

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache

from emulator.core.google_api import ApiError, Json

MAX_PAYLOAD_BYTES = 65_536  # [Secret Manager quotas and limits]


@dataclass
class Version:
    """A version of a secret; `data` is None after it is destroyed."""

    name: str
    data: bytes | None
    checksum_given: bool
    regional: bool
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    destroyed: datetime | None = None
    state: str = "ENABLED"

    def resource(self) -> Json:
        replication: Json = {} if self.regional else {"replicationStatus": {"automatic": {}}}
        destroyed: Json = {"destroyTime": _format_timestamp(self.destroyed)} if self.destroyed else {}
        return {
            "name": self.name,
            "createTime": _format_timestamp(self.created),
            **destroyed,
            "state": self.state,
            **replication,
            "etag": _etag(self.created, self.state),
            "clientSpecifiedPayloadChecksum": self.checksum_given,
        }

    def set_state(self, state: str) -> Json:
        """Change the state. Raise ApiError FAILED_PRECONDITION for a destroyed version, which stays destroyed."""
        if self.state == "DESTROYED" and state != "DESTROYED":
            raise ApiError("FAILED_PRECONDITION", f"Secret Version [{self.name}] is in DESTROYED state.")
        if state == "DESTROYED" and self.destroyed is None:
            self.data, self.destroyed = None, datetime.now(UTC)
        self.state = state
        return self.resource()

    def access(self) -> Json:
        if self.data is None or self.state != "ENABLED":
            raise ApiError("FAILED_PRECONDITION", f"Secret Version [{self.name}] is in {self.state} state.")
        payload = {"data": base64.b64encode(self.data).decode(), "dataCrc32c": str(crc32c(self.data))}
        return {"name": self.name, "payload": payload}


@dataclass
class StoredSecret:
    name: str
    settings: Json
    versions: list[Version] = field(default_factory=list)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    denied: bool = False

    def resource(self) -> Json:
        return {
            "name": self.name,
            **self.settings,
            "createTime": _format_timestamp(self.created),
            "etag": _etag(self.created),
        }

    def add(self, data: bytes, *, checksum_given: bool = False) -> Version:
        if len(data) > MAX_PAYLOAD_BYTES:
            raise ApiError("INVALID_ARGUMENT", f"The secret payload must not be larger than {MAX_PAYLOAD_BYTES} bytes.")
        name = f"{self.name}/versions/{len(self.versions) + 1}"
        self.versions.append(Version(name, data, checksum_given, "/locations/" in name))
        return self.versions[-1]

    def version(self, number: str) -> Version:
        """Return a version; `latest` is the newest one in any state: the service doesn't skip disabled versions."""
        if number == "latest":
            if not self.versions:
                raise ApiError("NOT_FOUND", f"Secret [{self.name}] not found or has no versions.")
            return self.versions[-1]
        if not number.isdecimal() or not 1 <= int(number) <= len(self.versions):
            raise ApiError("NOT_FOUND", f"Secret Version [{self.name}/versions/{number}] not found.")
        return self.versions[int(number) - 1]


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) checksum that gcloud and the service use for payloads."""
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder = _table()[(remainder ^ byte) & 0xFF] ^ (remainder >> 8)
    return remainder ^ 0xFFFFFFFF


@cache
def _table() -> tuple[int, ...]:
    def entry(byte: int) -> int:
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)  # the polynomial, bits reversed
        return byte

    return tuple(entry(byte) for byte in range(256))


def _format_timestamp(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def _etag(created: datetime, state: str = "") -> str:
    return f'"{int(created.timestamp() * 1e6) + len(state):x}"'
