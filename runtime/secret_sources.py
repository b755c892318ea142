"""Where secrets come from: a mounted file, or Secret Manager through its official client."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.clock import Clock
from settings import Settings

ATTEMPT_TIMEOUT_SECONDS = 2.0
RETRY_DELAY_SECONDS = 0.1


class PermanentError(Exception):
    """Reading again can't help: the secret is missing or disabled, access is denied, or the value isn't text."""


class TemporaryError(Exception):
    """The secret's source is unavailable at the moment."""


def build_reader(settings: Settings, clock: Clock) -> Callable[[str], str]:
    """Return a function that reads a secret from a mounted file (an absolute path) or from Secret Manager.

    The function raises PermanentError or TemporaryError.
    """
    manager = _SecretManager(settings.secret_manager_endpoint, clock)
    return lambda source: _read_file(source) if source.startswith("/") else manager.read(source)


def _read_file(path: str) -> str:
    """Read a mounted secret. Cloud Run fetches a mounted `latest` version each time the file is read."""
    try:
        return Path(path).read_text("utf-8")
    except (FileNotFoundError, PermissionError, UnicodeDecodeError) as error:
        raise PermanentError(type(error).__name__) from error
    except OSError as error:
        raise TemporaryError(error.strerror or type(error).__name__) from error


class _SecretManager:
    """The official client, over REST: unlike gRPC, it survives gunicorn's fork, and it can connect to the emulator.

    Created on the first read, in the worker: importing it takes longer than the rest of startup.
    """

    def __init__(self, endpoint: str, clock: Clock) -> None:
        self._endpoint, self._clock = endpoint, clock
        self._clients: dict[str, Any] = {}

    def read(self, resource: str) -> str:
        """Return the secret's value. Raise PermanentError, or TemporaryError after two attempts."""
        try:
            return self._attempt(resource)
        except TemporaryError:
            self._clock.sleep(RETRY_DELAY_SECONDS)
            return self._attempt(resource)

    def _attempt(self, resource: str) -> str:
        from google.api_core import exceptions  # noqa: PLC0415
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415
        from google.protobuf.json_format import ParseError  # noqa: PLC0415

        name = resource if "/versions/" in resource else f"{resource}/versions/latest"
        try:
            client = self._get_client(resource)
            response = client.access_secret_version(name=name, timeout=ATTEMPT_TIMEOUT_SECONDS, retry=None)
            return bytes(response.payload.data).decode("utf-8")
        except (exceptions.ServerError, exceptions.TooManyRequests, GoogleAuthError, ParseError, OSError) as error:
            raise TemporaryError(f"Secret Manager: {_describe(error)}") from error
        except (exceptions.GoogleAPICallError, UnicodeDecodeError) as error:
            raise PermanentError(f"Secret Manager: {_describe(error)}") from error

    def _get_client(self, resource: str) -> Any:
        location = resource.split("/")[3] if "/locations/" in resource else ""
        if location not in self._clients:  # without a lock: if this hangs, the next read must not wait for it
            self._clients[location] = _create_client(self._endpoint, location)
        return self._clients[location]


def _create_client(endpoint: str, location: str) -> Any:
    from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415
    from google.cloud import secretmanager_v1  # noqa: PLC0415

    regional = f"https://secretmanager.{location}.rep.googleapis.com" if location else None
    return secretmanager_v1.SecretManagerServiceClient(
        transport="rest",
        client_options={"api_endpoint": endpoint or regional} if endpoint or regional else None,
        credentials=AnonymousCredentials() if endpoint else None,  # type: ignore[no-untyped-call,unused-ignore]
    )


def _describe(error: Exception) -> str:
    """Describe the error briefly; a Google error's text can contain more than should be logged."""
    code = getattr(error, "code", None)
    return f"{int(code)} {type(error).__name__}" if isinstance(code, int) else type(error).__name__
