"""Write the reference pages from the code: `python docs/generate.py`, or `--check` to compare."""

from __future__ import annotations

import inspect
import io
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from prefect_responses import errors, job_errors
from prefect_responses.cli.__main__ import make_app
from prefect_responses.settings import ResponsesSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

FOLDER = Path(__file__).parent / "reference"
COMMANDS = (
    (),
    ("audit",),
    ("automations", "create"),
    ("automations", "list"),
    ("automations", "delete"),
    ("harvest",),
    ("job", "list"),
    ("job", "show"),
    ("job", "replay"),
    ("ledger", "list"),
    ("ledger", "prune"),
    ("ledger", "show"),
    ("ledger", "upgrade"),
    ("resolve",),
    ("emulator", "serve"),
)
EXIT_CODES = """\
| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | it could not be done, for the reason printed |
| 2 | the command line cannot be read |
| 3 | `audit` found something in doubt, or `harvest` something that needs a person |
"""
WIDTH = 96


def cli_page() -> str:
    """Return the help of every command."""
    helps = (
        f"## {' '.join(('prefect-responses', *command))}\n\n```\n{_help(command)}```\n"
        for command in COMMANDS
    )
    return "\n".join(("# Command line\n", EXIT_CODES, *helps))


def _help(command: tuple[str, ...]) -> str:
    text = io.StringIO()
    console = Console(file=text, width=WIDTH, color_system=None)
    with suppress(SystemExit):
        make_app()([*command, "--help"], console=console)
    return "\n".join(line.rstrip() for line in text.getvalue().strip().splitlines()) + "\n"


def errors_page() -> str:
    """Return the tree of errors and what each means."""
    rows = (f"| `{kind.__name__}` | {_sentence(kind)} |" for kind in _kinds())
    return "\n".join(
        (
            "# Errors\n",
            "All of `prefect_responses.errors`. Those that are retryable may succeed when the same",
            "call is repeated as it is; `worth_retrying` tells Prefect so.\n",
            _drawn(errors),
            "And of row jobs, in `prefect_responses.job_errors`:\n",
            _drawn(job_errors),
            "| error | meaning |",
            "| --- | --- |",
            *rows,
            "",
        )
    )


def _drawn(module: ModuleType) -> str:
    """Return the picture of a module's errors: the paragraph that begins with their root."""
    doc = module.__doc__ or ""
    tree = doc[doc.index("\nResponsesError\n") :].strip().split("\n\n")[0]
    return f"```\n{tree.rstrip()}\n```\n"


def _kinds() -> Iterator[type[Exception]]:
    for module in (errors, job_errors):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, errors.ResponsesError) and kind.__module__ == module.__name__:
                yield kind


def _sentence(kind: type[Exception]) -> str:
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


def settings_page() -> str:
    """Return the settings and their bounds."""
    rows = (
        f"| `PREFECT_INTEGRATIONS_RESPONSES_{name.upper()}` | {_default(name)} | "
        f"{field.description} |"
        for name, field in ResponsesSettings.model_fields.items()
    )
    return "\n".join(
        (
            "# Settings\n",
            "Read from the environment, a Prefect profile, `prefect.toml` or `pyproject.toml`.\n",
            "| setting | default | meaning |",
            "| --- | --- | --- |",
            *rows,
            "",
        )
    )


def _default(name: str) -> str:
    field = ResponsesSettings.model_fields[name]
    bounds = ResponsesSettings.model_json_schema()["properties"][name]
    span = f" ({bounds['minimum']:g} to {bounds['maximum']:g})" if "minimum" in bounds else ""
    return f"{'none' if field.default is None else field.default}{span}"


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "errors.md": errors_page,
    "settings.md": settings_page,
}


def main() -> None:
    """Write the pages, or with `--check` leave with 1 if one is not as the code says."""
    stale = []
    for name, page in PAGES.items():
        path, text = FOLDER / name, page()
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            FOLDER.mkdir(exist_ok=True)
            path.write_text(text)
    if stale and "--check" in sys.argv:
        sys.exit(f"Not current: {', '.join(stale)}. Run `python docs/generate.py`.")


if __name__ == "__main__":
    main()
