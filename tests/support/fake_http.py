"""A fake of every service that the function's HTTP client calls."""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from urllib3 import HTTPResponse, PoolManager


@dataclass(frozen=True)
class Call:
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class FakeHttp:
    """Responds with what `post` has registered for a URL: each once, in order, and the last one repeatedly."""

    calls: list[Call] = field(default_factory=list)
    _responses: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def post(
        self,
        url: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        body: bytes | str | Exception = b"",
    ) -> None:
        """Register a response, or an error, to POST requests."""
        response = {"status": status, "headers": headers or {}, "json": json, "body": body}
        self._responses.setdefault(url, []).append(response)

    def respond(self, method: str, url: str, body: io.BytesIO, headers: Mapping[str, str]) -> HTTPResponse:
        assert method == "POST"
        self.calls.append(Call(url, headers, body.read()))
        registered = self._responses[url]
        response = registered.pop(0) if len(registered) > 1 else registered[0]
        content = response["body"]
        if isinstance(content, Exception):
            raise content
        data = content.encode() if isinstance(content, str) else content
        data = data if response["json"] is None else json.dumps(response["json"]).encode()
        return HTTPResponse(io.BytesIO(data), response["headers"], response["status"], preload_content=False)


@contextmanager
def fake_http() -> Iterator[FakeHttp]:
    """Replace the network of the function's HTTP client."""
    fake = FakeHttp()

    def urlopen(_: PoolManager, method: str, url: str, **options: Any) -> HTTPResponse:
        return fake.respond(method, url, options["body"], options["headers"])

    with mock.patch.object(PoolManager, "urlopen", urlopen):
        yield fake
