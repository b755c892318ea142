"""Send callouts: by the forwarder itself, or duplicated, delayed, reordered, stale, or forged."""

import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from bench import requests_file
from chaos.environment import Environment
from chaos.request import Attempt, ChaosCallout, Kind
from emulator.auth0.runtime import Execution
from emulator.emulator import new_signing_key

RESPONSE_TIMEOUT_SECONDS = 7.0  # the forwarder's timeout for one attempt
MAX_ATTEMPTS = 5
MAX_BACKOFF_SECONDS = 2.0
# The percentage of callouts of each kind.
SHARES: dict[Kind, int] = {
    "forwarder": 70,
    "duplicate": 6,
    "late": 5,
    "concurrent": 6,
    "reordered": 4,
    "clock skew": 4,
    "stale": 3,
    "forged": 2,
}


class Client:
    """Thread-safe sender for callouts of every kind."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._port = urlsplit(environment.public.url).port or 0
        self._forged_key = new_signing_key()
        self._senders: dict[Kind, Callable[[ChaosCallout, random.Random], object]] = {
            "forwarder": self._forwarder,
            "duplicate": self._duplicate,
            "late": self._late,
            "concurrent": self._concurrent,
            "reordered": self._reordered,
            "clock skew": lambda callout, rng: self._send_until_accepted(callout, rng, rng.uniform(-280, 280)),
            "stale": lambda callout, rng: self.send(callout, rng.choice((-1, 1)) * rng.uniform(310, 9000)),
            "forged": lambda callout, _: self.send(callout, key=self._forged_key),
        }

    def run(self, callout: ChaosCallout, seed: str) -> None:
        """Send the callout as its kind requires, including retries. `seed` makes the run reproducible."""
        self._senders[callout.kind](callout, random.Random(seed))  # noqa: S311

    def send(self, callout: ChaosCallout, clock_skew: float = 0.0, key: str = "") -> Attempt:
        """Make one attempt, signed with the current time."""
        started = time.monotonic()
        connection = HTTPConnection("127.0.0.1", self._port, timeout=RESPONSE_TIMEOUT_SECONDS)
        try:
            headers = callout.headers(key or self._environment.signing_key, clock_skew)
            connection.request("POST", "/", callout.body, headers)
            response = connection.getresponse()
            status, text, retry_after = response.status, response.read(), response.headers.get("Retry-After", "")
        except (OSError, HTTPException):
            return callout.add(Attempt(started, time.monotonic(), 0))
        finally:
            connection.close()
        code, is_well_formed = _parse_response(callout, status, text, retry_after)
        return callout.add(Attempt(started, time.monotonic(), status, code, is_well_formed))

    def _forwarder(self, callout: ChaosCallout, _: random.Random) -> None:
        started = time.monotonic()
        execution = self._environment.auth0.run(requests_file.event(callout.address))
        ended = time.monotonic()
        for fetch in execution.fetches:
            callout.identify(dict(fetch["headers"])["webhook-id"], fetch["body"].encode())
            callout.attempts.append(Attempt(started, ended, fetch["status"]))
        callout.forwarder_error = _forwarder_error(execution)

    def _send_until_accepted(self, callout: ChaosCallout, rng: random.Random, clock_skew: float = 0.0) -> bool:
        """Retry until the callout is accepted or no attempt is left. Return whether it was accepted."""
        for number in range(MAX_ATTEMPTS):
            attempt = self.send(callout, clock_skew)
            if attempt.is_accepted:
                return True
            if number + 1 < MAX_ATTEMPTS:
                time.sleep(min(MAX_BACKOFF_SECONDS, (attempt.status == 503) + rng.uniform(0, 0.5)))
        return False

    def _duplicate(self, callout: ChaosCallout, rng: random.Random) -> None:
        if self._send_until_accepted(callout, rng):
            self._send_until_accepted(callout, rng)

    def _late(self, callout: ChaosCallout, rng: random.Random) -> None:
        accepted = self._send_until_accepted(callout, rng)
        time.sleep(rng.uniform(1, 8))
        if accepted:
            self._send_until_accepted(callout, rng)

    def _concurrent(self, callout: ChaosCallout, rng: random.Random) -> None:
        with ThreadPoolExecutor(4) as pool:
            seeds = [rng.random() for _ in range(4)]
            list(pool.map(lambda seed: self._send_until_accepted(callout, random.Random(seed)), seeds))  # noqa: S311

    def _reordered(self, callout: ChaosCallout, rng: random.Random) -> None:
        """Send the attempt with the later signature first."""
        if self._send_until_accepted(callout, rng, clock_skew=rng.uniform(1, 60)):
            self._send_until_accepted(callout, rng, clock_skew=rng.uniform(-60, -1))


def kinds(count: int, rng: random.Random) -> list[Kind]:
    """Return the kinds of `count` callouts in random order, in the proportions of SHARES."""
    drawn = [kind for kind, share in SHARES.items() for _ in range(max(1, count * share // 100))]
    drawn += ["forwarder"] * (count - len(drawn))
    rng.shuffle(drawn)
    return drawn[:count]


def _parse_response(callout: ChaosCallout, status: int, text: bytes, retry_after: str) -> tuple[str, bool]:
    """Return the response's status or error code, and whether it's well-formed (see Attempt)."""
    try:
        body = json.loads(text)
    except ValueError:
        return "invalid JSON", False
    if status in (200, 202):
        return str(body.get("status")), body.get("id") == callout.id
    return str(body.get("error", {}).get("code")), status != 503 or retry_after.isdigit()


def _forwarder_error(execution: Execution) -> str:
    return execution.logs[-1]["text"] if execution.status != "success" and execution.logs else ""
