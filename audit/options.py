"""The options of the audit, and of ./deploy.sh audit."""

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    times = "an age (24h, 7d) or ISO 8601"
    parser.add_argument("--since", metavar="T", default="24h", help=f"start of the period: {times}; default: 24h")
    parser.add_argument("--until", metavar="T", help="end of the period; default: 15 minutes ago, because logs lag")
    parser.add_argument("--send", action="store_true", help="send each missing notice, through the function")
    parser.add_argument("--json", action="store_true", help="print every change as JSON instead of a table")


def to_arguments(options: argparse.Namespace) -> list[str]:
    """Return the command line that parses to these options."""
    times = [f"--since={options.since}", *([f"--until={options.until}"] if options.until is not None else [])]
    return [*times, *(["--send"] if options.send else []), *(["--json"] if options.json else [])]
