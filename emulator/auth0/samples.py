"""Example events: those included with the emulator, and the developer's own JSON files."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.cloud_run.process import PROJECT_ROOT

SAMPLES = Path(__file__).parent / "samples"
FOLDER_VARIABLE = "EMULATOR_EVENTS"
DEFAULT_FOLDER = PROJECT_ROOT / ".work" / "events"  # of the developer's own events
DEFAULT = "auth0-default-sample"
START = "browser"  # the first run's: Auth0's default event doesn't come from a browser, so its email has few facts
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,59}")


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


def save(folder: Path, name: str, text: str) -> Path:
    """Save an event in the developer's folder, and replace one of the same name. Raise ValueError for another name."""
    if not _NAME.fullmatch(name):
        raise ValueError("name: use letters, digits, spaces, and . _ -, at most 60 characters")
    if (SAMPLES / f"{name}.json").exists():
        raise ValueError(f"{name} is an included example; choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    file.write_text(text, "utf-8")
    return file


def _read(file: Path, *, own: bool) -> Sample:
    return Sample(file.stem, file.read_text("utf-8", "replace"), own)
