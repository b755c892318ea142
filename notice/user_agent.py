"""The device: a User-Agent in words from a closed vocabulary; nothing of the header itself is ever shown.

A program that says what it is is not taken for a browser: the change then came from a script or an administrator's
tool, whose place and address say nothing about the user.
"""

import re
from functools import lru_cache
from typing import NamedTuple

LONGEST = 1000  # characters that are looked at

# A person's browser begins like this, whoever made it; curl, Postman, SDKs and most programs do not.
BEGINNING = ("Mozilla/", "Opera/")

# Programs that begin so all the same. What browsers never write: where the owner is found, or that they are compatible
# (but for Internet Explorer). Telephones of the brand Cubot are not bots, nor is the model "M bot 60".
PROGRAM = re.compile(r"\.(com|org|io)\b|@[a-z]|compatible(?!; ?msie)|\w(?<!cu)bots?\b|agent(?!web)")
# What programs call themselves, in lower case.
PROGRAMS = (
    *("http:", "https:", "www.", "mailto:", "google-", "-google", "-user/"),
    *("crawl", "spider", "feed", "slurp", "scrap", "fetch", "archive", "thumbnail", "favicon", "preview", "proxy"),
    *("headless", "phantomjs", "slimerjs", "jsdom", "selenium", "webdriver", "puppeteer", "playwright", "cypress/"),
    *("powershell", "postman", "insomnia/", "python", "perl/", "httpclient", "http-client", "appengine"),
    *("scan", "check", "monitor", "uptime", "pingdom", "synthetic", "thousandeyes", "catchpoint", "statuscake"),
    *("verif", "inspect", "insight", "analy", "audit", "detect", "probe", "diagnos", "observatory", "research"),
    *("survey", "optimi", "securityheaders", "lighthouse", "ptst/", "gtmetrix", "pagespeed", "page speed", "prerender"),
    *("splash", "search console", "geedo", "rigor)", "silktide", "dareboost", "datanyze"),
    *("hardenize", "devin/", "watchtowr", "transcoder"),
)

# A name and the marks by which it is known; the first that fits. Those that also carry another's mark stand before it.
BROWSERS = (
    ("Samsung Internet", ("SamsungBrowser/",)),
    ("Yandex Browser", ("YaBrowser/", "YaSearchBrowser/")),
    ("Opera", ("OPR/", "OPT/", "OPX/", "OPiOS/", "Opera Mini/", "Opera/", "Opera ")),
    ("Vivaldi", ("Vivaldi/",)),
    ("UC Browser", ("UCBrowser/", "UBrowser/", "UCWEB/")),
    ("QQ Browser", ("QQBrowser/",)),
    ("Whale", ("Whale/",)),
    ("Huawei Browser", ("HuaweiBrowser/",)),
    ("Mi Browser", ("MiuiBrowser/",)),
    ("Vivo Browser", ("VivoBrowser/",)),
    ("Silk", ("Silk/",)),
    ("DuckDuckGo", ("DuckDuckGo/", "Ddg/")),
    ("Brave", ("Brave",)),
    ("Edge", ("Edg/", "EdgA/", "EdgiOS/", "EdgW/", "Edge/")),
    ("Google", ("GSA/",)),
    ("Firefox", ("Firefox/", "FxiOS/", "Focus/", "Klar/")),
    # A page within another app, which goes unnamed.
    (None, ("; wv)", "Version/4.0 Chrome/", "Electron/", "FBAN/", "FBAV/", "FB_IAB/", "Instagram", "Snapchat/")),
    ("Chrome", ("Chrome/", "CriOS/", "Chromium/")),
    ("Internet Explorer", ("MSIE ", "Trident/", "IEMobile/")),
    (None, ("Android",)),  # its old browser, which says Safari
    ("Safari", ("Safari/",)),
)
SYSTEMS = (
    ("Windows Phone", ("Windows Phone",)),
    ("Windows", ("Windows",)),
    ("iPhone", ("iPhone", "iPod")),
    ("iPad", ("iPad",)),
    ("Android", ("Android",)),
    ("ChromeOS", ("CrOS",)),
    ("macOS", ("Macintosh", "Mac OS X")),  # and an iPad that asks for pages made for computers
    ("Linux", ("Linux", "Ubuntu")),
)


class Device(NamedTuple):
    """Names from the lists above; None where it is not known."""

    browser: str | None
    system: str | None


def device(user_agent: str | None) -> Device | None:
    """What a person sat at; None where the agent is no browser, or says nothing."""
    return _device((user_agent or "")[:LONGEST])


@lru_cache(maxsize=256)
def _device(agent: str) -> Device | None:
    if not agent.startswith(BEGINNING) or _is_program(agent.lower()):
        return None
    found = Device(_first(BROWSERS, agent), _first(SYSTEMS, agent))
    return found if found.browser or found.system else None


def _is_program(agent: str) -> bool:
    return any(word in agent for word in PROGRAMS) or PROGRAM.search(agent) is not None


def _first(known: tuple[tuple[str | None, tuple[str, ...]], ...], agent: str) -> str | None:
    return next((name for name, marks in known if any(mark in agent for mark in marks)), None)
