"""A finding: what the doctor saw, why it matters, and the exact fix."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["ok", "note", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """`check` is one word; a `fault` stops notices, a `warning` weakens them, a `note` is what could not be checked."""

    level: Level
    check: str
    what: str
    why: str = ""
    fix: str = ""

    def __str__(self) -> str:
        lines = [f"{self.level:<8}{self.check}: {self.what}"]
        lines += [f"        {word}: {text}" for word, text in (("why", self.why), ("fix", self.fix)) if text]
        return "\n".join(lines)


def as_json(findings: Iterable[Finding]) -> str:
    listed = list(findings)
    return json.dumps({"ok": is_well(listed), "findings": [asdict(finding) for finding in listed]}, indent=1)


def is_well(findings: Iterable[Finding]) -> bool:
    return all(finding.level != "fault" for finding in findings)
