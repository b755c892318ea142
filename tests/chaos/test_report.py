"""The documentation quotes a chaos run's comparison as the report prints it."""

import re
from pathlib import Path

from chaos.report import Outcome, comparison

ROOT = Path(__file__).parents[2]


def quoted_outcomes(table: str) -> list[Outcome]:
    """Return the outcomes in the rows of a comparison; the number of lost notices follows from the others."""
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]
    rows = [(name, [int(number.replace(",", "")) for number in numbers]) for name, *numbers in cells]
    return [
        Outcome(name, changes, delivered, duplicated, unreported)
        for name, (changes, delivered, _, unreported, duplicated) in rows
    ]


def documented_table() -> str:
    [table] = re.findall(r"(?:^\|.*\n)+", (ROOT / "docs" / "reliability.md").read_text("utf-8"), re.MULTILINE)
    return str(table).rstrip("\n")


def test_the_documented_comparison_has_the_reports_form() -> None:
    table = documented_table()
    assert comparison(quoted_outcomes(table)) == table


def test_the_readme_quotes_the_documented_numbers_and_their_command() -> None:
    direct, queue, sample, *_ = quoted_outcomes(documented_table())
    readme = (ROOT / "README.md").read_text("utf-8")
    [line] = re.findall(r"^.*\[result\]\(docs/reliability\.md\).*$", readme, re.MULTILINE)
    assert (direct.lost, queue.lost) == (0, 0)
    assert f"lost none of {direct.changes:,} notices" in line
    assert f"sample Action lost {sample.lost:,}" in line
    assert "`make faults`" in line
