"""Hot reload: runs use edited files; errors are reported while the previous version keeps serving."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from emulator.emulator import example
from tests.emulator.browser_page import BrowserPage, WebHarness


@contextmanager
def edited(harness: WebHarness, name: str, old: str, new: str) -> Iterator[Path]:
    """Edit the file, and restore and reload it at the end."""
    file = harness.folder / name
    original = file.read_text("utf-8")
    assert old in original
    file.write_text(original.replace(old, new, 1), "utf-8")
    try:
        yield file
    finally:
        file.write_text(original, "utf-8")
        harness.emulator.refresh()


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
def test_the_next_run_uses_the_edited_file(
    web_harness: WebHarness, name: str, old: str, new: str, expected: str
) -> None:
    with edited(web_harness, name, old, new):
        run = web_harness.emulator.run(example())
        assert run.execution.status == "success"
        assert expected in str(run.entries)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("main.py", "settings = start(", "settings = = start(", r"main\.py, line \d+ SyntaxError: invalid syntax"),
        ("main.py", "settings = start(", "settings = started(", r"main\.py, line \d+ NameError: name 'started'"),
        ("notice/templates/notice.html", "{% endif %}", "{% endfi %}", r"notice\.html, line \d+ TemplateSyntaxError"),
        ("notice/cldr/en.json", '"dates": [', '"dates": [[', r"en\.json, line \d+ JSONDecodeError"),
        ("notice/translations/en.toml", "[notice]", "[notice", r"en\.toml, line \d+ TOMLDecodeError"),
        ("auth0/action.js", "async (event) => {", "async (event) => {{", r"action\.js, line \d+ SyntaxError"),
    ],
)
def test_an_error_in_an_edited_file_is_shown_with_its_line_while_the_previous_version_serves(
    browser_page: BrowserPage, name: str, old: str, new: str, message: str
) -> None:
    page = browser_page.open("/")
    with edited(browser_page.harness, name, old, new):
        browser_page.harness.emulator.run(example())
        expect(page.get_by_role("region", name="Edit not loaded")).to_contain_text(re.compile(message))
        assert browser_page.harness.emulator.runs[-1].execution.status == "success"
    expect(page.get_by_role("region", name="Edit not loaded")).to_have_count(0)


def test_an_edit_that_makes_a_setting_invalid_is_reported_with_its_fix(web_harness: WebHarness) -> None:
    with edited(web_harness, "settings.py", '"SUPPORT_CONTACT"', '"SUPPORT_CONTACTS"'):
        web_harness.emulator.refresh()
        error = web_harness.emulator.function.source_error
        assert error is not None
        assert "SUPPORT_CONTACTS is missing" in error.message
    assert web_harness.emulator.function.source_error is None
