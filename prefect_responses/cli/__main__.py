"""The command `prefect-responses`.

Exit codes: 0 done; 1 it could not be done, for the reason printed; 2 the command line cannot be
read; 3 `audit` found something in doubt, or `harvest` something that needs a person.
"""

from __future__ import annotations

import sys
from importlib.metadata import version

from cyclopts import App, CycloptsError

from prefect_responses.errors import ResponsesError

#: It could not be done; the reason is printed.
FAILED = 1
#: The command line cannot be read.
MISUSED = 2


def make_app() -> App:
    """Return the command with its subcommands, none of them imported yet."""
    app = App(
        name="prefect-responses",
        help="Look into ledgers of responses, and serve the API's emulator.",
        version=lambda: version("prefect-responses"),
        help_format="plaintext",
    )
    # `emulator serve` must load neither Prefect nor SQLAlchemy, so each is imported when called.
    app.command(
        "prefect_responses.cli.audit:audit",
        name="audit",
        help="Count what was sent and recorded, and name what is in doubt.",
    )
    app.command(
        "prefect_responses.cli.automations:app",
        name="automations",
        help="Let flow runs whose processes died come back by themselves.",
    )
    app.command(
        "prefect_responses.cli.emulator:app",
        name="emulator",
        help="A local Responses API that needs no account.",
    )
    app.command(
        "prefect_responses.cli.harvest:harvest",
        name="harvest",
        help="Keep every response that has ended, whoever submitted it.",
    )
    app.command(
        "prefect_responses.cli.job:app",
        name="job",
        help="Row jobs: how they stand, and dead rows asked again.",
    )
    app.command(
        "prefect_responses.cli.ledger:app", name="ledger", help="The record of all attempts."
    )
    app.command(
        "prefect_responses.cli.resolve:resolve",
        name="resolve",
        help="Say what was found on the server of an attempt that is in doubt.",
    )
    return app


def main(arguments: list[str] | None = None) -> None:
    """Run the command and leave with its exit code."""
    try:
        make_app()(arguments, exit_on_error=False)
    except CycloptsError:
        sys.exit(MISUSED)
    except ResponsesError as error:
        # Rich would read brackets in the message as markup.
        print(f"prefect-responses: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
