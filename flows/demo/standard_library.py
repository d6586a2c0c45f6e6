"""A table that every Python has: the standard library's public modules and their docstrings."""

from __future__ import annotations

import ast
import csv
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Importing these opens a browser, prints a poem, or needs a display.
_SKIPPED = frozenset({"antigravity", "this", "idlelib", "turtledemo", "lib2to3"})
#: Packages whose public modules have a page of their own in the library reference.
_PACKAGES = ("concurrent", "email", "http", "importlib", "logging", "multiprocessing", "urllib")


def write_table(path: Path) -> int:
    """Write the modules that have a docstring to *path*; return how many rows they are."""
    modules = dict(_documented_modules())
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("module", "docstring"))
        writer.writerows(modules.items())
    return len(modules)


def _documented_modules() -> Iterator[tuple[str, str]]:
    for name in _names():
        if docstring := _docstring(name):
            yield name, docstring


def _names() -> Iterator[str]:
    for name in sorted(sys.stdlib_module_names):
        if not name.startswith("_") and name not in _SKIPPED:
            yield name
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            yield from sorted(
                f"{package}.{path.stem}"
                for path in Path(folder).glob("*.py")
                if not path.stem.startswith("_")
            )


def _docstring(name: str) -> str | None:
    """Read a module's docstring from its source, or from the module where it has none in Python."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return None
    if spec.origin.endswith(".py"):
        return ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
    return importlib.import_module(name).__doc__
