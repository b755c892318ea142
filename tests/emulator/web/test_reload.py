"""Hot reload: the next run uses what was edited; what cannot be read is told, and the version before serves on."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from emulator.emulator import example
from tests.emulator.browser_page import Site, Visitor


@contextmanager
def edited(site: Site, name: str, old: str, new: str) -> Iterator[Path]:
    """The file with the change; put back, and served, at the end."""
    file = site.folder / name
    before = file.read_text("utf-8")
    assert old in before
    file.write_text(before.replace(old, new, 1), "utf-8")
    try:
        yield file
    finally:
        file.write_text(before, "utf-8")
        site.emulator.refresh()


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("notice/translations/en.toml", 'subject = "Your password was changed"', 'subject = "Edited"', "Edited"),
        ("notice/templates/notice.txt", "{", "Edited above. {", "Edited above."),
        (
            "main.py",
            "message = password_changed(",
            "print('edited main')\n        message = password_changed(",
            "edited main",
        ),
        (
            "auth0/action.js",
            "  try {\n    await send(event);",
            "  try {\n    console.log('edited Action');\n    await send(event);",
            "edited Action",
        ),
    ],
)
def test_the_next_run_uses_the_edited_file(site: Site, name: str, old: str, new: str, expected: str) -> None:
    with edited(site, name, old, new):
        run = site.emulator.run(example())
        assert run.execution.status == "success"
        assert expected in str(run.entries)


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("main.py", "settings = start()", "settings = = start()", r"main\.py, line \d+ SyntaxError: invalid syntax"),
        ("main.py", "settings = start()", "settings = started()", r"main\.py, line \d+ NameError: name 'started'"),
        ("notice/templates/notice.html", "{% endif %}", "{% endfi %}", r"notice\.html, line \d+ TemplateSyntaxError"),
        ("notice/cldr/en.json", '"dates": [', '"dates": [[', r"en\.json, line \d+ JSONDecodeError"),
        ("notice/translations/en.toml", "[notice]", "[notice", r"en\.toml, line \d+ TOMLDecodeError"),
        ("auth0/action.js", "async (event) => {", "async (event) => {{", r"action\.js, line \d+ SyntaxError"),
    ],
)
def test_what_cannot_be_read_shows_with_file_and_line_while_the_version_before_serves(
    visitor: Visitor, name: str, old: str, new: str, told: str
) -> None:
    page = visitor.open("/")
    with edited(visitor.site, name, old, new):
        visitor.site.emulator.run(example())
        expect(page.get_by_role("region", name="An edit is not used")).to_contain_text(re.compile(told))
        assert visitor.site.emulator.runs[-1].execution.status == "success"
    expect(page.get_by_role("region", name="An edit is not used")).to_have_count(0)


def test_a_setting_that_the_edit_makes_wrong_is_told_with_its_fix(site: Site) -> None:
    with edited(site, "settings.py", '"SUPPORT_CONTACT"', '"SUPPORT_CONTACTS"'):
        site.emulator.refresh()
        fault = site.emulator.function.fault
        assert fault is not None
        assert "SUPPORT_CONTACTS is missing" in fault.message
    assert site.emulator.function.fault is None
