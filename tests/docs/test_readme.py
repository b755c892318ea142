"""The README shows main.py's Action and the output of `make run` as they are."""

import re
from pathlib import Path

from emulator.runs.timeline import timeline
from emulator.testing import EmulatorFixture, emulator  # noqa: F401  (pytest finds fixtures by name)

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def block(language: str) -> str:
    [text] = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(text)


def without_numbers(output: str) -> list[str]:
    return [
        re.sub(r"[\d.]+ ms", "N ms", line).strip() for line in output.splitlines() if re.match(r" +[\d.]+ ms ", line)
    ]


def test_the_readme_shows_the_action_of_main_py() -> None:
    action = block("python").replace(
        "api: Api) -> Result:", "api: Api) -> Result:  # noqa: ARG001  (Auth0's signature)"
    )

    assert action in (ROOT / "main.py").read_text("utf-8")


def test_the_readme_shows_the_timeline_of_the_first_run(emulator: EmulatorFixture) -> None:  # noqa: F811  (the fixture)
    run = emulator.run("browser")
    run.await_log(10)

    assert without_numbers(block("console")) == without_numbers(timeline(run))
