"""The product's files: whether they changed, and what is wrong with one that was just edited."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from jinja2 import Environment, TemplateSyntaxError

from emulator.auth0.runtime import node

Versions = Mapping[Path, tuple[int, int]]

KINDS = (".py", ".toml", ".html", ".txt", ".json")
PARTS = ("main.py", "settings.py", "runtime", "notice")


@dataclass(frozen=True)
class SourceError:
    """What keeps an edited file from being used. `line` 0: none is known."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}{f', line {self.line}' if self.line else ''}: {self.message}"

    def as_json(self) -> dict[str, str | int]:
        return asdict(self)


def file_versions(*roots: Path) -> Versions:
    """Every file of the product in these folders, with what changes when it is saved."""
    found = {}
    for file in (file for root in roots for part in PARTS for file in _files(root / part)):
        try:
            stat = file.stat()
        except OSError:  # an editor is just replacing it
            continue
        found[file] = (stat.st_mtime_ns, stat.st_size)
    return found


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    for kind in KINDS if place.is_dir() else ():
        yield from place.rglob(f"*{kind}")


def find_source_error(before: Versions, now: Versions, root: Path) -> SourceError | None:
    """The first changed file that cannot be read as what it is."""
    changed = sorted(file for file, version in now.items() if before.get(file) != version)
    return next((fault for file in changed if (fault := _fault(file, root))), None)


def _fault(file: Path, root: Path) -> SourceError | None:
    name = str(file.relative_to(root)) if file.is_relative_to(root) else file.name
    try:
        text = file.read_text("utf-8")
        if file.suffix == ".py":
            compile(text, name, "exec", dont_inherit=True)
        elif file.suffix == ".toml":
            tomllib.loads(text)
        elif file.suffix == ".json":
            json.loads(text)
        else:
            Environment(autoescape=True).parse(text)
    except SyntaxError as error:
        return SourceError(name, error.lineno or 0, f"SyntaxError: {error.msg}")
    except TemplateSyntaxError as error:
        return SourceError(name, error.lineno, f"TemplateSyntaxError: {error.message}")
    except (OSError, ValueError) as error:  # what TOML, JSON and UTF-8 raise are ValueErrors
        line = re.search(r"\bline (\d+)", str(error))
        return SourceError(name, int(line[1]) if line else 0, f"{type(error).__name__}: {error}")
    return None


def error_from_output(said: str, root: Path) -> SourceError:
    """What a process that did not start said: its traceback's last place in `root`, and what it came to."""
    places = re.findall(r'File "([^"]+)", line (\d+)', said)
    ours = [(Path(file), int(line)) for file, line in places if Path(file).is_relative_to(root) and ".venv" not in file]
    errors: list[str] = re.findall(r"^(\w*(?:Error|Exception|Exit)\b.*)$", said, re.MULTILINE)
    critical: list[str] = re.findall(r'"severity": "CRITICAL", "message": "([^"]+)"', said)
    message = "; ".join(critical) or (errors[-1] if errors else said.strip()[-300:])
    file, line = ours[-1] if ours else (root / "main.py", 0)
    return SourceError(str(file.relative_to(root)), line, message)


def find_javascript_error(file: Path) -> SourceError | None:
    """What Node says of a script that it cannot read."""
    command = [str(node()), "--check", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False)
    if done.returncode == 0:
        return None
    line = re.search(rf"{re.escape(file.name)}:(\d+)", done.stderr)
    said = re.search(r"^(\w*Error: .*)$", done.stderr, re.MULTILINE)
    return SourceError(file.name, int(line[1]) if line else 0, said[1] if said else done.stderr.strip()[-300:])
