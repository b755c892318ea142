"""The callers: Auth0's Action itself, and others that repeat, delay and reorder what it sends, or have no right to."""

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

ANSWER_SECONDS = 7.0  # what the Action waits for an attempt
MOST_ATTEMPTS = 5
LONGEST_PAUSE = 2.0
# How many of a hundred are of which kind.
SHARES: dict[Kind, int] = {
    "action": 70,
    "duplicate": 6,
    "late": 5,
    "concurrent": 6,
    "reordered": 4,
    "clock off": 4,
    "stale": 3,
    "forged": 2,
}


class Client:
    """Sends callouts of each kind; `random` is for this run alone. Safe for threads."""

    def __init__(self, world: Environment) -> None:
        self._world = world
        self._port = urlsplit(world.public.url).port or 0
        self._forged_key = new_signing_key()
        self._ways: dict[Kind, Callable[[ChaosCallout, random.Random], object]] = {
            "action": self._action,
            "duplicate": self._duplicate,
            "late": self._late,
            "concurrent": self._concurrent,
            "reordered": self._reordered,
            "clock off": lambda callout, chance: self._patient(callout, chance, chance.uniform(-280, 280)),
            "stale": lambda callout, chance: self.send(callout, chance.choice((-1, 1)) * chance.uniform(310, 9000)),
            "forged": lambda callout, _: self.send(callout, key=self._forged_key),
        }

    def run(self, callout: ChaosCallout, seed: str) -> None:
        """Everything that its kind does with it, to the end."""
        self._ways[callout.kind](callout, random.Random(seed))  # noqa: S311

    def send(self, callout: ChaosCallout, clock_off: float = 0.0, key: str = "") -> Attempt:
        """One attempt, signed now."""
        began = time.monotonic()
        connection = HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_SECONDS)
        try:
            headers = callout.headers(key or self._world.signing_key, clock_off)
            connection.request("POST", "/", callout.body, headers)
            answer = connection.getresponse()
            status, text, retry_after = answer.status, answer.read(), answer.headers.get("Retry-After", "")
        except (OSError, HTTPException):
            return callout.add(Attempt(began, time.monotonic(), 0))
        finally:
            connection.close()
        word, right = _told(callout, status, text, retry_after)
        return callout.add(Attempt(began, time.monotonic(), status, word, right))

    def _action(self, callout: ChaosCallout, _: random.Random) -> None:
        began = time.monotonic()
        execution = self._world.auth0.run(requests_file.event(callout.address))
        ended = time.monotonic()
        for fetch in execution.fetches:
            callout.know(dict(fetch["headers"])["webhook-id"], fetch["body"].encode())
            callout.attempts.append(Attempt(began, ended, fetch["status"]))
        callout.gave_up = _said(execution)

    def _patient(self, callout: ChaosCallout, chance: random.Random, clock_off: float = 0.0) -> bool:
        """Until it is accepted, or no attempt is left."""
        for number in range(MOST_ATTEMPTS):
            attempt = self.send(callout, clock_off)
            if attempt.accepted:
                return True
            if number + 1 < MOST_ATTEMPTS:
                time.sleep(min(LONGEST_PAUSE, (attempt.status == 503) + chance.uniform(0, 0.5)))
        return False

    def _duplicate(self, callout: ChaosCallout, chance: random.Random) -> None:
        if self._patient(callout, chance):
            self._patient(callout, chance)

    def _late(self, callout: ChaosCallout, chance: random.Random) -> None:
        accepted = self._patient(callout, chance)
        time.sleep(chance.uniform(1, 8))
        if accepted:
            self._patient(callout, chance)

    def _concurrent(self, callout: ChaosCallout, chance: random.Random) -> None:
        with ThreadPoolExecutor(4) as pool:
            seeds = [chance.random() for _ in range(4)]
            list(pool.map(lambda seed: self._patient(callout, random.Random(seed)), seeds))  # noqa: S311

    def _reordered(self, callout: ChaosCallout, chance: random.Random) -> None:
        """What was signed later comes first."""
        if self._patient(callout, chance, clock_off=chance.uniform(1, 60)):
            self._patient(callout, chance, clock_off=chance.uniform(-60, -1))


def kinds(count: int, chance: random.Random) -> list[Kind]:
    """In their shares, shuffled."""
    drawn = [kind for kind, share in SHARES.items() for _ in range(max(1, count * share // 100))]
    drawn += ["action"] * (count - len(drawn))
    chance.shuffle(drawn)
    return drawn[:count]


def _told(callout: ChaosCallout, status: int, text: bytes, retry_after: str) -> tuple[str, bool]:
    """The answer's word, and whether it has what goes with it."""
    try:
        body = json.loads(text)
    except ValueError:
        return "no JSON", False
    if status in (200, 202):
        return str(body.get("status")), body.get("id") == callout.id
    return str(body.get("error", {}).get("code")), status != 503 or retry_after.isdigit()


def _said(execution: Execution) -> str:
    return execution.logs[-1]["text"] if execution.status != "success" and execution.logs else ""
