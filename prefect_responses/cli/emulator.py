"""`prefect-responses emulator`: a local Responses API."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from prefect_responses.emulator.latency import parse_latency
from prefect_responses.emulator.server import serve as serve_emulator
from prefect_responses.errors import ResponsesError

app = App(name="emulator", help="A local Responses API that needs no account.")


def _is_profile(_: object, text: str) -> None:
    parse_latency(text)


@app.command
def serve(  # noqa: PLR0913 - each is one option of the command
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    seed: int | None = None,
    latency: Annotated[str, Parameter(validator=_is_profile)] = "instant",
    port_file: Path | None = None,
    journal_file: Path | None = None,
    journal_bodies: bool = True,
) -> None:
    """Serve until SIGTERM or Ctrl+C; print the base URL as soon as it can be reached.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        seed: Seed of IDs, latencies and faults; drawn when left out.
        latency: instant, constant:S, uniform:A,B or lognormal:median=S,p95=S.
        port_file: File that the port is written to when ready.
        journal_file: File that the journal is appended to, as JSON lines.
        journal_bodies: Whether the journal keeps request bodies.
    """
    try:
        serve_emulator(
            host,
            port,
            seed=seed,
            latency=latency,
            port_file=port_file,
            journal_file=journal_file,
            journal_bodies=journal_bodies,
        )
    except OSError as error:
        raise ResponsesError(f"The emulator cannot listen or write: {error}.") from error
