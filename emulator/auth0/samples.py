"""Example events: those that come with the emulator, and a person's own, files in a folder."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parent / "samples"
FOLDER_VARIABLE = "EMULATOR_EVENTS"
DEFAULT = "auth0-default-sample"


@dataclass(frozen=True)
class Sample:
    name: str
    text: str
    own: bool


def example(name: str = DEFAULT) -> dict[str, Any]:
    """One that comes along, by its file's name. Raises FileNotFoundError."""
    event: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text("utf-8"))
    return event


def examples(folders: Iterable[Path] = ()) -> list[Sample]:
    """Auth0's default sample first; a person's own after those that come along, read anew each time."""
    ours = sorted(SAMPLES.glob("*.json"), key=lambda file: (file.stem != DEFAULT, file.stem))
    theirs = [file for folder in folders for file in sorted(folder.glob("*.json"))]
    return [_read(file, own=False) for file in ours] + [_read(file, own=True) for file in theirs]


def _read(file: Path, *, own: bool) -> Sample:
    return Sample(file.stem, file.read_text("utf-8", "replace"), own)
