"""Example events: those included with the emulator, and the developer's own JSON files."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parent / "samples"
FOLDER_VARIABLE = "EMULATOR_EVENTS"
DEFAULT = "auth0-default-sample"
START = "browser"  # the first run's: Auth0's default event doesn't come from a browser, so its email has few facts


@dataclass(frozen=True)
class Sample:
    name: str
    text: str
    own: bool


def example(name: str = DEFAULT) -> dict[str, Any]:
    """Return an included event by its file name. Raise FileNotFoundError if there is none."""
    event: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text("utf-8"))
    return event


def examples(folders: Iterable[Path] = ()) -> list[Sample]:
    """Read all events: Auth0's default sample, the other included ones, then those in `folders`."""
    included = sorted(SAMPLES.glob("*.json"), key=lambda file: (file.stem != DEFAULT, file.stem))
    custom = [file for folder in folders for file in sorted(folder.glob("*.json"))]
    return [_read(file, own=False) for file in included] + [_read(file, own=True) for file in custom]


def _read(file: Path, *, own: bool) -> Sample:
    return Sample(file.stem, file.read_text("utf-8", "replace"), own)
