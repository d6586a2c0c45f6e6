"""Start the emulator: `python -m prefect_responses.emulator`."""

from __future__ import annotations

import argparse
from pathlib import Path

from prefect_responses.emulator.latency import parse_latency
from prefect_responses.emulator.server import serve


def main(arguments: list[str] | None = None) -> None:
    """Read the options and serve."""
    serve(**vars(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m prefect_responses.emulator",
        description="Serve a local Responses API that needs no account.",
    )
    option = parser.add_argument
    option("--host", default="127.0.0.1", help="address to listen on")
    option("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    option("--port-file", type=Path, help="file that the port is written to when ready")
    option("--seed", type=int, help="seed of IDs, latencies and faults; drawn when left out")
    option(
        "--latency",
        type=_profile,
        default="instant",
        help="instant, constant:S, uniform:A,B or lognormal:median=S,p95=S",
    )
    option("--journal-file", type=Path, help="file that the journal is appended to, as JSON lines")
    option(
        "--journal-bodies",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether the journal keeps request bodies",
    )
    return parser


def _profile(text: str) -> str:
    try:
        parse_latency(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc
    return text


if __name__ == "__main__":
    main()
