"""Where secrets come from: a mounted file, or Secret Manager through its official client."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.clock import Clock
from settings import Settings

ATTEMPT_SECONDS, PAUSE_SECONDS = 2.0, 0.1


class PermanentError(Exception):
    """There is an answer, and it is no: no such secret, no right, version disabled."""


class TemporaryError(Exception):
    """There is no answer now."""


def reader(settings: Settings, clock: Clock) -> Callable[[str], str]:
    manager = _SecretManager(settings.secret_manager_endpoint, clock)
    return lambda source: _read_file(source) if source.startswith("/") else manager.read(source)


def _read_file(path: str) -> str:
    """A mounted `latest` is read from Secret Manager at each reading of the file."""
    try:
        return Path(path).read_text("utf-8")
    except (FileNotFoundError, PermissionError, UnicodeDecodeError) as error:
        raise PermanentError(type(error).__name__) from error
    except OSError as error:
        raise TemporaryError(error.strerror or type(error).__name__) from error


class _SecretManager:
    """The official client over REST: it survives the host's fork, and can point at loopback.

    Made at the first reading, in the worker: importing it costs more than all the rest of a start.
    """

    def __init__(self, endpoint: str, clock: Clock) -> None:
        self._endpoint, self._clock = endpoint, clock
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def read(self, resource: str) -> str:
        """Raises Refused, or Outage after two attempts."""
        try:
            return self._attempt(resource)
        except TemporaryError:
            self._clock.sleep(PAUSE_SECONDS)
            return self._attempt(resource)

    def _attempt(self, resource: str) -> str:
        from google.api_core import exceptions  # noqa: PLC0415
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415
        from google.protobuf.json_format import ParseError  # noqa: PLC0415

        name = resource if "/versions/" in resource else f"{resource}/versions/latest"
        try:
            answer = self._client(resource).access_secret_version(name=name, timeout=ATTEMPT_SECONDS, retry=None)
            return bytes(answer.payload.data).decode("utf-8")
        except (exceptions.ServerError, exceptions.TooManyRequests, GoogleAuthError, ParseError, OSError) as error:
            raise TemporaryError(f"Secret Manager: {_kind(error)}") from error
        except (exceptions.GoogleAPICallError, UnicodeDecodeError) as error:
            raise PermanentError(f"Secret Manager: {_kind(error)}") from error

    def _client(self, resource: str) -> Any:
        location = resource.split("/")[3] if "/locations/" in resource else ""
        with self._lock:
            if location not in self._clients:
                self._clients[location] = _client(self._endpoint, location)
            return self._clients[location]


def _client(endpoint: str, location: str) -> Any:
    from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415
    from google.cloud import secretmanager_v1  # noqa: PLC0415

    regional = f"https://secretmanager.{location}.rep.googleapis.com" if location else None
    return secretmanager_v1.SecretManagerServiceClient(
        transport="rest",
        client_options={"api_endpoint": endpoint or regional} if endpoint or regional else None,
        credentials=AnonymousCredentials() if endpoint else None,  # type: ignore[no-untyped-call,unused-ignore]
    )


def _kind(error: Exception) -> str:
    """What went wrong in few words; the text of a Google error may hold more than a log should."""
    code = getattr(error, "code", None)
    return f"{int(code)} {type(error).__name__}" if isinstance(code, int) else type(error).__name__
