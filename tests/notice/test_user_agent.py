"""The User-Agent parser, tested with real browsers' and crawlers' headers against ua-parser."""

import json
from importlib.resources import files

import crawleruseragents
import pytest
import ua_parser
from hypothesis import given
from hypothesis import strategies as st

from notice.user_agent import BROWSERS, SYSTEMS, Device, _parse_device, parse_device

MIN_AGREEMENT = 0.99

# ua-parser's families and our names, where they differ.
FAMILIES = {
    **dict.fromkeys(["Chrome Mobile", "Chrome Mobile iOS", "Chromium"], "Chrome"),
    **dict.fromkeys(["Mobile Safari"], "Safari"),
    **dict.fromkeys(["Firefox Mobile", "Firefox iOS", "Firefox Focus"], "Firefox"),
    **dict.fromkeys(["Edge Mobile"], "Edge"),
    **dict.fromkeys(["Opera Mobile", "Opera Mini", "Opera Touch", "Opera GX"], "Opera"),
    **dict.fromkeys(["IE", "IE Mobile"], "Internet Explorer"),
    **dict.fromkeys(["DuckDuckGo Mobile"], "DuckDuckGo"),
    **dict.fromkeys(["Amazon Silk"], "Silk"),
    **dict.fromkeys(["QQ Browser Mobile"], "QQ Browser"),
    "MiuiBrowser": "Mi Browser",
    "VivoBrowser": "Vivo Browser",
    # A page embedded in another app: only the system is named.
    **dict.fromkeys(["Chrome Mobile WebView", "Mobile Safari UI/WKWebView", "Apple Mail"], None),
    **dict.fromkeys(["Facebook", "Instagram", "LINE", "Snapchat", "Twitter"], None),
}
SYSTEM_FAMILIES = {
    "Mac OS X": "macOS",
    "Chrome OS": "ChromeOS",
    **dict.fromkeys(["Ubuntu", "Fedora", "Debian"], "Linux"),
}
# Not bots, although the crawler list contains them: people use them.
NOT_BOTS = {
    r"AP3A\.240617\.008": "a page embedded in Instagram on a phone",
    r"MetaIAB Facebook": "a page embedded in Facebook on a phone",
    r"Code\/1\.": "Visual Studio Code's built-in browser",
    r"Trae\/": "an editor's built-in browser",
    r"Fluid": "a single-site browser for macOS",
}


def _real_agents() -> list[str]:
    lines = files("fake_useragent").joinpath("data/browsers.jsonl").read_text().splitlines()
    return sorted({json.loads(line)["useragent"].strip('"') for line in lines})


def _bot_agents() -> list[tuple[str, str]]:
    return [
        (entry["pattern"], agent)
        for entry in crawleruseragents.CRAWLER_USER_AGENTS_DATA
        for agent in entry["instances"]
        if entry["pattern"] not in NOT_BOTS
    ]


REAL = _real_agents()


def test_the_corpus_is_large() -> None:
    assert len(REAL) > 800
    assert len(_bot_agents()) > 2000


def test_browsers_match_ua_parser() -> None:
    agents = {agent: ua_parser.parse_user_agent(agent) for agent in REAL}
    differences = {
        agent: found.family
        for agent, found in agents.items()
        if found and FAMILIES.get(found.family, found.family) != (parse_device(agent) or Device(None, None)).browser
    }
    assert len(differences) <= (1 - MIN_AGREEMENT) * len(REAL), differences


def test_systems_match_ua_parser() -> None:
    differences = {}
    for agent in REAL:
        family = getattr(ua_parser.parse_os(agent), "family", None)
        system = (parse_device(agent) or Device(None, None)).system
        expected = ("iPhone", "iPad") if family == "iOS" else (SYSTEM_FAMILIES.get(family or "", family),)
        if system not in expected:
            differences[agent] = family
    assert len(differences) <= (1 - MIN_AGREEMENT) * len(REAL), differences


def test_no_real_browser_is_classified_as_a_bot() -> None:
    assert [agent for agent in REAL if parse_device(agent) is None] == []


def test_bots_are_not_classified_as_browsers() -> None:
    bots = _bot_agents()
    misclassified = [agent for _, agent in bots if parse_device(agent)]
    assert len(misclassified) <= (1 - MIN_AGREEMENT) * len(bots), misclassified


def test_every_exception_is_in_the_crawler_list() -> None:
    patterns = {entry["pattern"] for entry in crawleruseragents.CRAWLER_USER_AGENTS_DATA}
    assert set(NOT_BOTS) <= patterns


WINDOWS, MAC, LINUX = "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64"
PHONE, IPHONE, IPAD = (
    "Linux; Android 10; K",
    "iPhone; CPU iPhone OS 18_7 like Mac OS X",
    "iPad; CPU OS 18_7 like Mac OS X",
)
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
MOBILE_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36"
SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15"
MOBILE_SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1"
IOS = "AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        *[(f"({WINDOWS}) {CHROME}", ("Chrome", "Windows")), (f"({MAC}) {CHROME}", ("Chrome", "macOS"))],
        *[(f"({LINUX}) {CHROME}", ("Chrome", "Linux")), (f"({PHONE}) {MOBILE_CHROME}", ("Chrome", "Android"))],
        *[(f"(X11; CrOS x86_64 14541.0.0) {CHROME}", ("Chrome", "ChromeOS"))],
        *[(f"({IPHONE}) {IOS} CriOS/142.0.1 Mobile/15E148 Safari/604.1", ("Chrome", "iPhone"))],
        *[
            (f"({WINDOWS}) {CHROME} Edg/142.0.0.0", ("Edge", "Windows")),
            (f"({MAC}) {CHROME} Edg/142.0", ("Edge", "macOS")),
        ],
        *[
            (f"({LINUX}) {CHROME} Edg/142.0.0.0", ("Edge", "Linux")),
            (f"({PHONE}) {MOBILE_CHROME} EdgA/142.0", ("Edge", "Android")),
        ],
        *[(f"({IPHONE}) {IOS} Version/18.0 EdgiOS/142.0.1 Mobile/15E148 Safari/605.1.15", ("Edge", "iPhone"))],
        *[(f"({WINDOWS}) {CHROME} Edge/18.17763", ("Edge", "Windows"))],
        *[
            (f"({WINDOWS}) {CHROME} OPR/124.0.0.0", ("Opera", "Windows")),
            (f"({MAC}) {CHROME} OPR/124.0", ("Opera", "macOS")),
        ],
        *[
            (f"({LINUX}) {CHROME} OPR/124.0.0.0", ("Opera", "Linux")),
            (f"({PHONE}) {MOBILE_CHROME} OPR/91", ("Opera", "Android")),
        ],
        *[(f"({IPHONE}) {MOBILE_SAFARI} OPT/6.0", ("Opera", "iPhone"))],
        *[
            (
                f"({PHONE}) AppleWebKit/537.36 SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile Safari/537.36",
                ("Samsung Internet", "Android"),
            )
        ],
        *[
            (f"({WINDOWS}) {CHROME} Vivaldi/7.7", ("Vivaldi", "Windows")),
            (f"({MAC}) {CHROME} Vivaldi/7.7", ("Vivaldi", "macOS")),
        ],
        *[
            (f"({LINUX}) {CHROME} Vivaldi/7.7", ("Vivaldi", "Linux")),
            (f"({WINDOWS}) Brave Chrome/83.0 Safari/537.36", ("Brave", "Windows")),
        ],
        *[(f"({IPAD}) {MOBILE_SAFARI} Brave", ("Brave", "iPad"))],
        *[(f"({WINDOWS}; rv:145.0) Gecko/20100101 Firefox/145.0", ("Firefox", "Windows"))],
        *[("(Android 16; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0", ("Firefox", "Android"))],
        *[(f"({IPHONE}) {IOS} FxiOS/145.0 Mobile/15E148 Safari/605.1.15", ("Firefox", "iPhone"))],
        *[(f"({MAC}) {SAFARI}", ("Safari", "macOS")), (f"({IPHONE}) {MOBILE_SAFARI}", ("Safari", "iPhone"))],
        *[(f"({IPAD}) {MOBILE_SAFARI}", ("Safari", "iPad"))],
        *[("(compatible; MSIE 9.0; Windows NT 6.1; Trident/5.0)", ("Internet Explorer", "Windows"))],
        *[("(Windows NT 6.3; Trident/7.0; rv:11.0) like Gecko", ("Internet Explorer", "Windows"))],
        *[
            (
                "(compatible; MSIE 10.0; Windows Phone 8.0; Trident/6.0; IEMobile/10.0)",
                ("Internet Explorer", "Windows Phone"),
            )
        ],
        *[(f"(Windows Phone 10.0; Android 6.0.1; Lumia 950) {MOBILE_CHROME} Edge/15.15254", ("Edge", "Windows Phone"))],
        *[(f"({IPHONE}) {IOS} GSA/391.0 Mobile/15E148 Safari/604.1", ("Google", "iPhone"))],
        # Pages embedded in another app.
        *[
            (
                "(Linux; Android 15; Pixel 9; wv) AppleWebKit/537.36 Version/4.0 Chrome/142.0 Mobile Safari/537.36",
                (None, "Android"),
            )
        ],
        *[(f"({IPHONE}) {IOS} Mobile/22H1 [FBAN/FBIOS;FBAV/500.0]", (None, "iPhone"))],
        *[
            (
                "(Linux; Android 15; wv) Version/4.0 Chrome/142.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/500.0]",
                (None, "Android"),
            )
        ],
        *[(f"({IPHONE}) {IOS} Mobile/22H1 Instagram 400.0 (iPhone17,1)", (None, "iPhone"))],
        *[(f"({WINDOWS}) AppleWebKit/537.36 Acme/1.0 Chrome/142.0 Electron/39.0 Safari/537.36", (None, "Windows"))],
        # Phone models whose names look like bots.
        *[(f"(Linux; Android 13; Cubot X30) {MOBILE_CHROME}", ("Chrome", "Android"))],
        *[(f"(Linux; Android 7.0; CUBOT NOTE Plus) {MOBILE_CHROME}", ("Chrome", "Android"))],
        *[(f"(Linux; Android 7.0; M bot 60 Build/NRD90M) {MOBILE_CHROME}", ("Chrome", "Android"))],
        *[(f"(Linux; Android 8.1.0; RUBY Build/OPM2) {MOBILE_CHROME}", ("Chrome", "Android"))],
        *[(f"(Linux; Android 8.1.0; Perla) {MOBILE_CHROME}", ("Chrome", "Android"))],
    ],
)
def test_browsers_are_recognized_by_name_and_system(agent: str, expected: tuple[str | None, str | None]) -> None:
    assert parse_device(f"Mozilla/5.0 {agent}") == expected


def test_an_ipad_that_requests_desktop_websites_is_reported_as_macos() -> None:
    assert parse_device(f"Mozilla/5.0 ({MAC}) {SAFARI}") == ("Safari", "macOS")


@pytest.mark.parametrize(
    "agent",
    [
        *["curl/8.5.0", "Wget/1.21.4", "PostmanRuntime/7.49.0", "insomnia/11.0", "HTTPie/3.2.4", "Bruno/2.0"],
        *[
            "python-requests/2.32.5",
            "python-httpx/0.28.1",
            "Python-urllib/3.11",
            "aiohttp/3.13 Python/3.11",
            "axios/1.13.2",
        ],
        *[
            "node",
            "undici",
            "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
            "got (https://github.com/sindresorhus/got)",
        ],
        *[
            "okhttp/5.3.0",
            "Java/21.0.5",
            "Apache-HttpClient/5.5 (Java/21)",
            "Java-http-client/21.0.5",
            "Go-http-client/2.0",
        ],
        *[
            "GuzzleHttp/7",
            "PHP/8.4",
            "Ruby",
            "Faraday v2.14.0",
            "libwww-perl/6.80",
            "RestSharp/112.1.0",
            "Dart/3.9 (dart:io)",
        ],
        *[
            "Terraform-Provider-Auth0/1.35.0 (Terraform-SDK/2.38; Terraform/1.14.0)",
            "Go-Auth0/1.32.0",
            "auth0-deploy-cli/8.23.0",
        ],
        *[
            "auth0-php/8.18 (PHP 8.4)",
            "node-auth0/5.1.0",
            "Auth0Java/2.27",
            "auth0-python/4.13 (Python 3.11)",
            "Auth0.NET/8.2",
        ],
        *[
            "MyApp/1.0 CFNetwork/1494.0.7 Darwin/24.0.0",
            "Dalvik/2.1.0 (Linux; U; Android 15)",
            "MyApp/1 Alamofire/5.10",
        ],
        f"Mozilla/5.0 ({WINDOWS}; en-US) WindowsPowerShell/5.1.26100",
        "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) PowerShell/7.5",
        "Mozilla/4.0 (compatible; Win32; WinHttp.WinHttpRequest.5)",
        f"Mozilla/5.0 ({LINUX}) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/142.0.0.0 Safari/537.36",
        "Mozilla/5.0 (linux) AppleWebKit/537.36 (KHTML, like Gecko) jsdom/26.1.0",
        f"Mozilla/5.0 ({LINUX}) AppleWebKit/537.36 Cypress/15.6 Chrome/138.0 Electron/37.6 Safari/537.36",
        f"Mozilla/5.0 ({MAC}) AppleWebKit/537.36 Postman/11.70 Chrome/138.0 Electron/37.6 Safari/537.36",
        f"Mozilla/5.0 ({LINUX}) {CHROME} Chrome-Lighthouse",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        *[
            "",
            " ",
            "-",
            "Mozilla",
            "Mozilla/5.0",
            "mozilla/5.0 (Windows NT 10.0) Chrome/1",
            "\x00",
            "x" * 100_000,
            None,
        ],
    ],
)
def test_programs_and_empty_user_agents_are_not_devices(agent: str | None) -> None:
    assert parse_device(agent) is None


def test_only_the_start_of_a_user_agent_is_parsed() -> None:
    start = f"Mozilla/5.0 ({WINDOWS}) "
    assert parse_device(f"{start.ljust(992, 'x')}Firefox/145.0") == ("Firefox", "Windows")
    assert parse_device(f"{start.ljust(993, 'x')}Firefox/145.0") == (None, "Windows")


def test_the_cache_is_bounded() -> None:
    assert _parse_device.cache_info().maxsize == 256
    misses = _parse_device.cache_info().misses
    for suffix in ("x", "y"):
        parse_device("Mozilla/5.0 (bounded)".ljust(1000) + suffix)
    assert _parse_device.cache_info().misses == misses + 1


@given(st.text() | st.text().map("Mozilla/5.0 {}".format))
def test_a_device_never_contains_text_from_the_header(agent: str) -> None:
    device = parse_device(agent)
    if device is not None:
        assert device.browser in {name for name, _ in BROWSERS}
        assert device.system in {name for name, _ in SYSTEMS} | {None}
        assert device != (None, None)
