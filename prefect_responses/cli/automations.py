"""`prefect-responses automations`: let flow runs whose processes died come back by themselves."""

from dataclasses import asdict
from typing import Annotated

from cyclopts import App, Parameter

from prefect_responses.cli import printing
from prefect_responses.cli.finding import Flag
from prefect_responses.errors import RequestInvalid
from prefect_responses.host import automations, recovery

app = App(name="automations", help="Let flow runs whose processes died come back by themselves.")

_NONE = "There are none of ours; `prefect-responses automations create` makes them."


@app.command
async def create(  # noqa: PLR0913 - each is one option of the command
    *,
    tag: Annotated[list[str] | None, Parameter(negative="")] = None,
    every: Annotated[Flag, Parameter(name="--all")] = False,
    heartbeat_seconds: float = recovery.HEARTBEAT,
    within: float | None = None,
    max_runs: int = recovery.MAX_RUNS,
    delay: float = recovery.DELAY,
) -> None:
    """Create the automations on the Prefect server of the current profile, or update them.

    Args:
        tag: Only runs with this tag, or several; durable-responses if left out.
        every: All flow runs, whatever their tags.
        heartbeat_seconds: PREFECT_FLOWS_HEARTBEAT_FREQUENCY of these flows.
        within: Seconds without a heartbeat that end a run; three heartbeats if left out.
        max_runs: Runs of one flow run, 2 to 9, the first and those by hand included.
        delay: Seconds between a crash and the next run.
    """
    if every and tag is not None:
        raise RequestInvalid("Give --tag or --all, not both.")
    tags = () if every else tuple(tag or [recovery.TAG])
    waited = recovery.patience(heartbeat_seconds, within)
    wanted = recovery.Recovery(tags, waited, max_runs, delay)
    changes = await automations.install(wanted)
    for made in recovery.automations_of(wanted):
        _say(f"{changes[made.name]}: {made.name}\n  {made.description}")
    _say(_advice(heartbeat_seconds))


@app.command(name="list")
async def show(*, json: Flag = False) -> None:
    """List our automations, what they do, and how often they fired.

    Args:
        json: Print JSON.
    """
    found = await automations.installed()
    if json:
        printing.print_json({"automations": [asdict(one) | _when(one) for one in found]})
    elif found:
        rows = ((one.name, one.does, _firings(one)) for one in found)
        printing.console().print(printing.table("automation", "does", "fired", rows=rows))
    else:
        _say(_NONE)


@app.command
async def delete() -> None:
    """Delete our automations, and nobody else's."""
    removed = await automations.remove()
    for name in removed:
        _say(f"deleted: {name}")
    if not removed:
        _say(_NONE)


def _advice(heartbeat: float) -> str:
    if heartbeat == recovery.HEARTBEAT:
        return "Heartbeats are expected as often as Prefect sends them by default."
    return (
        f"Set PREFECT_FLOWS_HEARTBEAT_FREQUENCY={heartbeat:g} wherever these flows run: with "
        "slower heartbeats healthy runs would be crashed."
    )


def _firings(one: automations.Installed) -> str:
    last = "" if one.last_fired is None else f", last at {one.last_fired:%Y-%m-%d %H:%M:%S} UTC"
    times = "never" if one.fired == 0 else f"{one.fired} time{'' if one.fired == 1 else 's'}"
    return f"{times}{last}{'' if one.enabled else '; paused'}"


def _when(one: automations.Installed) -> dict[str, str | None]:
    return {"last_fired": None if one.last_fired is None else one.last_fired.isoformat()}


def _say(text: str) -> None:
    printing.console().print(printing.plain(text))
