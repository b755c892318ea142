"""Generate the email's CLDR data: date and time formats, time zones, countries, and how language tags relate.

`make cldr` precomputes the data with Babel, because loading Babel in the function takes 25 ms and 30 MB.
`tests/notice/test_icu.py` compares the data with ICU's and lists the intended differences.
"""

import argparse
import json
import re
from collections.abc import Iterator
from datetime import date, datetime, time
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.core import Locale, get_global
from babel.dates import format_date, format_time, get_timezone_gmt, get_timezone_name
from babel.localedata import locale_identifiers

ROOT = Path(__file__).parents[1]
CLDR = ROOT / "notice" / "cldr"
TAGS = sorted(file.stem for file in (ROOT / "notice" / "translations").glob("*.toml"))
ZONES = sorted(files("tzdata").joinpath("zones").read_text().split())
# CLDR's short names of Hong Kong and Macao, which Babel lacks.
SHORT_NAMES: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("short_names.json").read_text("utf-8"))

# Patterns that differ from CLDR's medium one, where a bare space would join two numbers, or a bracket two brackets.
DATE_TIMES = {
    "eu": "{date}, {time}",
    "fi": "{date} klo {time}",
    "th": "{date} เวลา {time}",
    "vi": "{time} ngày {date}",
}
COMMAS = {"my": "၊", "ur": "،"}  # if not the Latin one
SPACED = {"cs", "sv", "tr"}  # a space between year and hour is usual in these languages

# Relations that CLDR doesn't have. For all other tags, the region is dropped, but never the script.
PARENTS = {
    "no": "nb",
    "pt": "pt_BR",
    "zh": "zh_Hans",
    # End the chain; otherwise, `pt` and `pt_BR` would be each other's parents.
    "nb": "",
    "pt_BR": "",
    # Scripts whose readers also know the other one.
    "bs_Cyrl": "bs",
    "sr_Latn": "sr",
    # Languages whose readers also read another one.
    "gsw": "de",
    "lb": "de",
    "yue": "zh_Hant",
    "yue_Hans": "zh_Hans",
}

# Lines in Nastaliq overlap at the usual line height; Korean breaks lines only between words.
STYLES = {"ko": "word-break:keep-all;overflow-wrap:break-word;", "ur": "line-height:2;"}

Zones = dict[str, tuple[str, str]]  # a zone → its standard and its daylight name


def main() -> None:
    CLDR.mkdir(exist_ok=True)
    for name, text in build_files().items():
        (CLDR / name).write_text(text, "utf-8")


def build_files() -> dict[str, str]:
    """Return the contents of `notice/cldr`: each file's name and its text."""
    locales = {tag: Locale.parse(tag, sep="-") for tag in TAGS}
    zones = {tag: {zone: _zone(locale, zone) for zone in ZONES} for tag, locale in locales.items()}
    representatives = _representatives(list(zones.values()))
    tags = _tags()
    regions = _regional_locales(tags)
    common = {"tags": tags, "zones": {zone: first for zone, first in representatives.items() if zone != first}}
    languages = {
        f"{tag}.json": _language(tag, locale, zones[tag], set(representatives.values()), regions.get(tag, []))
        for tag, locale in locales.items()
    }
    return {name: _to_json(value) for name, value in {"common.json": common, **languages}.items()}


def _language(tag: str, locale: Locale, zones: Zones, representatives: set[str], regions: list[str]) -> dict[str, Any]:
    formats = _formats(locale)
    short_names = {code: names[tag] for code, names in SHORT_NAMES.items() if tag in names}
    territories = {code: name for code, name in sorted(locale.territories.items()) if len(code) == 2}
    return {
        "direction": locale.text_direction,
        "style": STYLES.get(tag, ""),
        **formats,
        "countries": territories | short_names,
        "zones": {
            zone: list(dict.fromkeys(names)) for zone, names in zones.items() if zone in representatives and any(names)
        },
        "regions": _regions(formats, regions),
    }


def _formats(locale: Locale) -> dict[str, Any]:
    """Return the formats of dates and times, which differ by region."""
    dates, times = [_date(locale, month) for month in range(1, 13)], [_time(locale, hour) for hour in range(24)]
    separator = "." if re.search(r"\d\.\{minute", times[13]) else ":"
    offset = f"{{hours}}{separator}{{minutes}}"
    gmt = re.sub(r"[][]", "", locale.zone_formats["gmt"])  # Marathi's has stray brackets
    if locale.language == "fa":
        offset = f"\u200e{offset}"  # keeps the sign before the number
    return {
        "date_time": _date_time(locale, dates[0]),
        "dates": dates,
        "times": times,
        "time_zone": _time_zone(locale),
        "zone_offset": gmt.replace("%s", offset),
    }


def _date_time(locale: Locale, date_pattern: str) -> str:
    """Return how a date and a time are joined. A comma separates a number at the end of the date from the hour."""
    language = locale.language
    pattern = str(locale.datetime_formats["long"]).replace("'", "").format("{time}", "{date}")
    if pattern == "{date} {time}" and date_pattern.endswith("}") and language not in SPACED:
        pattern = f"{{date}}{COMMAS.get(language, ',')} {{time}}"
    return DATE_TIMES.get(language, pattern)


def _date(locale: Locale, month: int) -> str:
    """Return a month's date pattern: `{day}. Januar {year}`."""
    pattern = format_date(date(2345, month, 27), "long", locale=locale).replace("2345", "{year}").replace("27", "{day}")
    if pattern.format(day=3, year=2026) != format_date(date(2026, month, 3), "long", locale=locale):
        pattern = pattern.replace("{day}", "{day:02}")
    for day in (date(2026, month, 3), date(2031, month, 28)):
        _check_pattern(pattern.format(day=day.day, year=day.year), format_date(day, "long", locale=locale))
    return pattern


def _time(locale: Locale, hour: int) -> str:
    """Return an hour's time pattern: `3:{minute:02} PM`.

    The half-day has its wide name if it has one: Korean writes 오후, not PM, and Albanian "e pasdites", because "p.d."
    may also mean the morning.
    """
    cldr_pattern = str(locale.time_formats["short"].pattern)
    if "am" in locale.day_periods["format"]["wide"] and "'" not in cldr_pattern:  # no quoted text
        cldr_pattern = cldr_pattern.replace("a", "aaaa")

    def text(minute: int) -> str:
        return format_time(time(hour, minute), cldr_pattern, locale=locale)

    pattern = text(47).replace("47", "{minute:02}")
    _check_pattern(pattern.format(minute=5), text(5))
    return pattern


def _time_zone(locale: Locale) -> str:
    """Return how a time and its time zone are joined, as in CLDR's full time: `{time} ({zone})`."""
    pattern = locale.time_formats["full"].pattern
    if pattern.startswith("z"):
        return "{zone} {time}"
    match = re.search(r"(?P<before>,? ?[([]?)z+(?P<after>[)\]]?)$", pattern)
    if not match:
        raise ValueError(f"{locale}: the time zone is neither at the start nor at the end of {pattern}")
    return "{time}" + match["before"] + "{zone}" + match["after"]


def _check_pattern(formatted: str, expected: str) -> None:
    if formatted != expected:
        raise ValueError(f"the pattern gives {formatted}, Babel {expected}: one pattern can't format this language")


def _regional_locales(tags: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    """Return the regional locales that CLDR has for each file's language: `pt-PT` has `pt_AO`."""
    locales: dict[str, list[str]] = {}
    for identifier in sorted(locale_identifiers()):
        language, region = identifier.split("_")[0], identifier.rpartition("_")[2]
        locale = identifier.replace(f"_{tags['scripts'].get(language)}", "")
        while locale and locale.replace("_", "-") not in TAGS:
            shorter, _, last = locale.rpartition("_")
            locale = "" if len(last) == 4 else tags["parents"].get(locale, shorter)
        if locale.split("_")[0] == language and re.fullmatch("[A-Z]{2}|[0-9]{3}", region):
            locales.setdefault(locale.replace("_", "-"), []).append(identifier)
    return locales


def _regions(base: dict[str, Any], locales: list[str]) -> dict[str, dict[str, Any]]:
    """Return the formats that differ from the language's own, by regions: `{"AU NZ": {"times": …}}`."""
    regions: dict[str, list[str]] = {}
    for locale in locales:
        formats = _formats(Locale.parse(locale))
        differing = {name: value for name, value in formats.items() if value != base[name]}
        regions.setdefault(json.dumps(differing), []).append(locale.rpartition("_")[2])
    return {" ".join(codes): json.loads(text) for text, codes in regions.items() if text != "{}"}


def _zone(locale: Locale, zone: str) -> tuple[str, str]:
    """Return the zone's standard and daylight names, or "" for each one it lacks.

    Babel has some zones only under a former name (Asia/Calcutta).
    """
    meta_zones, aliases = get_global("meta_zones"), get_global("zone_aliases")
    current = aliases.get(zone, zone)
    former = next((meta_zones[old] for old, new in aliases.items() if new == current and old in meta_zones), None)
    names = locale.meta_zones.get(former, {}).get("long", {}) if current not in meta_zones else {}
    new_year = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone))
    offset = get_timezone_gmt(new_year, locale=locale)

    def name(variant: Any) -> str:
        text = str(names.get(variant) or get_timezone_name(new_year, locale=locale, zone_variant=variant))
        return "" if text == offset else text

    return name("standard"), name("daylight")


def _representatives(languages: list[Zones]) -> dict[str, str]:
    """Map each zone to the first zone that has the same names in every language."""
    firsts: dict[Any, str] = {}
    return {zone: firsts.setdefault(tuple(names[zone] for names in languages), zone) for zone in ZONES}


def _tags() -> dict[str, dict[str, str]]:
    """Return the data for language negotiation: `iw` is `he`, `zh_TW` implies Hant, `pt_AO` has the parent `pt_PT`."""
    available = {tag.replace("-", "_") for tag in TAGS}
    parents = dict(sorted((_parents(available) | PARENTS).items()))
    languages = {locale.split("_")[0] for locale in (*available, *parents)}
    return {
        "aliases": dict(sorted(_aliases(languages))),
        "scripts": dict(sorted(_scripts(languages))),
        "parents": parents,
    }


def _parents(available: set[str]) -> dict[str, str]:
    """Return CLDR's parents, except those that are the tag without its region."""
    languages = {*(tag.split("_")[0] for tag in available), "no"}
    parents = {}
    for tag, parent in get_global("parent_exceptions").items():
        is_other_language = parent.split("_")[0] in languages and parent.split("_")[0] != tag.split("_")[0]
        if parent in available or is_other_language:
            parents[tag] = parent
    return parents


def _aliases(languages: set[str]) -> Iterator[tuple[str, str]]:
    for alias, full in get_global("language_aliases").items():
        language = full.split("_")[0]
        if language in languages and "_" not in alias and alias != language:
            yield alias, full


def _scripts(languages: set[str]) -> Iterator[tuple[str, str]]:
    """Yield each language and its usual script, and each territory where another one is usual: `zh_TW` and Hant."""
    likely = {tag: full.split("_")[1] for tag, full in get_global("likely_subtags").items()}
    for tag, script in likely.items():
        language, _, territory = tag.partition("_")
        if language in languages and len(territory) != 4 and (not territory or script != likely[language]):
            yield tag, script


def _to_json(value: dict[str, Any]) -> str:
    """Write one field per line, to keep diffs readable.

    The narrow no-break space of CLDR's data is missing in many fonts, so a no-break space replaces it.
    """
    lines = [f"{json.dumps(name)}: {json.dumps(field, ensure_ascii=False)}" for name, field in value.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").replace("\u202f", "\u00a0")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()  # rejects arguments
    main()
