"""What a pass is going to do, counted before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from prefect_responses.decisions.row_outcomes import REPLAY_RULES, ReplayRule, RowOutcome
from prefect_responses.decisions.row_selection import DRIVEN, PAID, RowChoice, row_class
from prefect_responses.engine.report_text import plain

if TYPE_CHECKING:
    from prefect_responses.decisions.row_selection import Standing

#: Names that a plan shows of each kind.
SHOWN_NAMES = 5


class JobPlan(BaseModel):
    """How many rows a pass sends, waits for and leaves, and why.

    Attributes:
        job: the name of the job.
        rows: rows of the table.
        choices: how many rows are chosen for what.
        changed_because: what differs from the last pass, if rows changed.
        retried: dead rows that are asked again, by class.
        replayed: dead rows whose answer is replaced, by class.
        left: dead rows that stay as they are, by class.
        vanished: rows that the ledger knows and the table no longer has.
        vanished_names: the keys of a few of them.
    """

    model_config = ConfigDict(frozen=True)

    job: str
    rows: NonNegativeInt = 0
    choices: dict[RowChoice, NonNegativeInt] = {}
    changed_because: tuple[str, ...] = ()
    retried: dict[RowOutcome, NonNegativeInt] = {}
    replayed: dict[RowOutcome, NonNegativeInt] = {}
    left: dict[RowOutcome, NonNegativeInt] = {}
    vanished: NonNegativeInt = 0
    vanished_names: tuple[str, ...] = ()

    def count(self, choice: RowChoice) -> int:
        """Return how many rows are chosen for *choice*."""
        return self.choices.get(choice, 0)

    @property
    def driven(self) -> int:
        """Return how many rows are sent or waited for."""
        return sum(self.count(choice) for choice in DRIVEN)

    @property
    def paid(self) -> int:
        """Return how many rows may be paid for."""
        return sum(self.count(choice) for choice in PAID)

    @property
    def answered(self) -> int:
        """Return how many rows have an answer, usable or not, that they keep."""
        kept = sum(
            number
            for outcome, number in self.left.items()
            if REPLAY_RULES[outcome] is ReplayRule.ON_REQUEST
        )
        return self.count(RowChoice.REUSE) + self.count(RowChoice.KNOWN) + kept

    def as_lines(self) -> list[str]:
        """Return short plain lines for a terminal and a log."""
        named = [(choice, self.count(choice)) for choice in _NAMES]
        return [
            f"{plain(self.job)}: {self.rows:,} rows, {self.paid:,} of them to be paid for",
            *(f"  {_NAMES[each]}: {number:,}{self._why(each)}" for each, number in named if number),
            *(f"  {_VANISHED}: {names}" for names in self._vanished()),
        ]

    def notable(self) -> list[tuple[str, str]]:
        """Return what a report repeats of the plan: what it is about, and the number with why."""
        counted = [(choice, self.count(choice)) for choice in _NOTABLE]
        notes = [
            (_NAMES[each], f"{number:,}{self._why(each)}") for each, number in counted if number
        ]
        return [*notes, *((_VANISHED, names) for names in self._vanished())]

    def _vanished(self) -> list[str]:
        if not self.vanished:
            return []
        names = ", ".join(plain(name) for name in self.vanished_names)
        more = " …" if self.vanished > len(self.vanished_names) else ""
        return [f"{self.vanished:,} ({names}{more})"]

    def _why(self, choice: RowChoice) -> str:
        match choice:
            case RowChoice.CHANGED:
                return f" (because of {', '.join(self.changed_because)})"
            case RowChoice.RETRY:
                return _by_class(self.retried)
            case RowChoice.REPLAY:
                return _by_class(self.replayed)
            case RowChoice.LEAVE:
                return _by_class(self.left, REPLAY_HINTS)
            case _:
                return ""


_VANISHED = "no longer in the table"
_NAMES = {
    RowChoice.NEW: "new",
    RowChoice.RESUME: "written down and never sent",
    RowChoice.CHANGED: "changed",
    RowChoice.KNOWN: "answered before they changed",
    RowChoice.RETRY: "asked again",
    RowChoice.REPLAY: "replayed",
    RowChoice.FORCE: "forced",
    RowChoice.ADOPT: "in flight",
    RowChoice.DOUBT: "in doubt",
    RowChoice.REUSE: "finished",
    RowChoice.LEAVE: "left as they are",
    RowChoice.NOT_SELECTED: "not selected",
}

#: What a report repeats.
_NOTABLE = (
    RowChoice.CHANGED,
    RowChoice.RETRY,
    RowChoice.REPLAY,
    RowChoice.FORCE,
    RowChoice.LEAVE,
    RowChoice.NOT_SELECTED,
)

#: Why a dead row is left as it is.
REPLAY_HINTS = {
    ReplayRule.ON_REQUEST: "kept until a replay",
    ReplayRule.NEXT_RUN: "asked often enough",
}


def _by_class(counts: dict[RowOutcome, int], hints: dict[ReplayRule, str] | None = None) -> str:
    if not counts:
        return ""
    words = []
    for outcome, number in counts.items():
        hint = (hints or {}).get(REPLAY_RULES[outcome])
        words.append(f"{outcome} {number:,}" + (f", {hint}" if hint else ""))
    return f" ({'; '.join(words)})"


class PlanCounter:
    """Count the choices of a pass, row by row."""

    def __init__(self) -> None:
        self.rows = 0
        #: The runs that asked what changed since.
        self.changed_runs: set[tuple[int, ...]] = set()
        self._choices = dict.fromkeys(RowChoice, 0)
        self._retried: dict[RowOutcome, int] = {}
        self._replayed: dict[RowOutcome, int] = {}
        self._left: dict[RowOutcome, int] = {}
        self._by_class = {
            RowChoice.RETRY: self._retried,
            RowChoice.REPLAY: self._replayed,
            RowChoice.LEAVE: self._left,
        }

    def add(self, choice: RowChoice, standing: Standing | None) -> None:
        """Count one row."""
        self.rows += 1
        self._choices[choice] += 1
        if choice is RowChoice.CHANGED and standing is not None:
            self.changed_runs.add(standing.run)
        classes = self._by_class.get(choice)
        if classes is not None and standing is not None:
            outcome = row_class(standing)
            classes[outcome] = classes.get(outcome, 0) + 1

    def plan(
        self, job: str, changed_because: tuple[str, ...], vanished: int, names: tuple[str, ...]
    ) -> JobPlan:
        """Return the plan that the counts come to."""
        is_changed = self._choices[RowChoice.CHANGED] > 0
        return JobPlan(
            job=job,
            rows=self.rows,
            choices={choice: number for choice, number in self._choices.items() if number},
            changed_because=changed_because if is_changed else (),
            retried=self._retried,
            replayed=self._replayed,
            left=self._left,
            vanished=vanished,
            vanished_names=names,
        )
