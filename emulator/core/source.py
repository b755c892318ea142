"""Watch the product's source files: detect edits and report errors in them."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from jinja2 import Environment, TemplateSyntaxError

from emulator.core.node import node

FileVersions = Mapping[Path, tuple[int, int]]

SUFFIXES = (".py", ".toml", ".html", ".txt", ".json")
PARTS = ("main.py", "settings.py", "runtime", "notice")


@dataclass(frozen=True)
class SourceError:
    """An error that keeps an edited file from being used; `line` is 0 if unknown."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}{f', line {self.line}' if self.line else ''}: {self.message}"

    def as_json(self) -> dict[str, str | int]:
        return asdict(self)


def file_versions(*roots: Path) -> FileVersions:
    """Return the modification time and size of every product file in `roots`."""
    versions = {}
    for file in (file for root in roots for part in PARTS for file in _files(root / part)):
        try:
            stat = file.stat()
        except OSError:  # an editor is replacing it right now
            continue
        versions[file] = (stat.st_mtime_ns, stat.st_size)
    return versions


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for suffix in SUFFIXES if path.is_dir() else ():
        yield from path.rglob(f"*{suffix}")


def find_source_error(previous: FileVersions, current: FileVersions, root: Path) -> SourceError | None:
    """Return the first syntax error in a changed file, if any."""
    changed = sorted(file for file, version in current.items() if previous.get(file) != version)
    return next((error for file in changed if (error := _check_syntax(file, root))), None)


def _check_syntax(file: Path, root: Path) -> SourceError | None:
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
    except (OSError, ValueError) as error:  # TOML, JSON, and UTF-8 errors are ValueErrors
        line = re.search(r"\bline (\d+)", str(error))
        return SourceError(name, int(line[1]) if line else 0, f"{type(error).__name__}: {error}")
    return None


def error_from_output(output: str) -> SourceError:
    """Parse the output of a process that failed to start: the error, and the innermost frame with a relative path."""
    frames = re.findall(r'File "([^"]+)", line (\d+)', output)
    ours = [(file, int(line)) for file, line in frames if not Path(file).is_absolute() and not file.startswith("<")]
    errors: list[str] = re.findall(r"^(\w*(?:Error|Exception|Exit)\b.*)$", output, re.MULTILINE)
    critical: list[str] = re.findall(r'"severity": "CRITICAL", "message": "([^"]+)"', output)
    message = "; ".join(critical) or (errors[-1] if errors else output.strip()[-300:])
    file, line = ours[-1] if ours else ("main.py", 0)
    return SourceError(file, line, message)


def find_javascript_error(file: Path) -> SourceError | None:
    """Return the syntax error that Node reports for a script, if any."""
    command = [str(node()), "--check", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False)
    if done.returncode == 0:
        return None
    line = re.search(rf"{re.escape(file.name)}:(\d+)", done.stderr)
    message = re.search(r"^(\w*Error: .*)$", done.stderr, re.MULTILINE)
    return SourceError(file.name, int(line[1]) if line else 0, message[1] if message else done.stderr.strip()[-300:])
