"""The cells of the crash matrix: where a process dies, how, and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from prefect_responses.engine.crash_points import CrashPoint


class Way(StrEnum):
    """How the process that waits for a response ends."""

    FLOW_KILLED = "SIGKILL to the flow"
    FLOW_TERMINATED = "SIGTERM to the flow"
    WORKER_TERMINATED = "SIGTERM to the worker"
    BOTH_KILLED = "SIGKILL to worker and flow"


class Mode(StrEnum):
    """How the end of the response is waited for."""

    POLL = "poll"
    STREAM = "stream"


#: The ways in which the process itself hears of it and may still do something.
TOLD = frozenset({Way.FLOW_TERMINATED})
#: The points that only a call with a deadline reaches.
OF_A_DEADLINE = frozenset({CrashPoint.BEFORE_CANCEL, CrashPoint.AFTER_CANCEL})
#: The points before which no response ID is stored, so that a kill there leaves a doubt.
IN_DOUBT = frozenset({CrashPoint.AFTER_INTENT, CrashPoint.AFTER_POST})
#: The points that one mode alone reaches.
OF_ONE_MODE = {
    CrashPoint.WHILE_POLLING: Mode.POLL,
    CrashPoint.WHILE_STREAMING: Mode.STREAM,
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One flow run that ends at *point*, and is run again."""

    point: CrashPoint
    mode: Mode
    way: Way

    @property
    def text(self) -> str:
        """What it asks, and no other cell: it takes a second to say as a stream."""
        return f"What is paid for at {self.point}, {self.mode}, after {self.way}?"

    @property
    def has_deadline(self) -> bool:
        """Tell whether its response never ends by itself."""
        return self.point in OF_A_DEADLINE

    @property
    def is_amid(self) -> bool:
        """Tell whether its response must still be at work when it is looked at."""
        return self.point in OF_ONE_MODE


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a cell.

    Args:
        posts: POSTs with its body.
        cancels: cancel calls for its responses.
        adopted: whether the re-run took over a response that the first process had submitted.
        outcomes: of its attempts in the ledger, in order.
        told: what the flow run was told in the end, and how often it was told anything.
    """

    posts: int
    cancels: int
    adopted: bool
    outcomes: tuple[str, ...]
    told: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.posts} / {self.cancels} / {int(self.adopted)}"


@dataclass(frozen=True, slots=True)
class Promise:
    """What may come of a cell: the values that each count may have."""

    posts: int
    cancels: frozenset[int]
    adopted: frozenset[bool]
    outcomes: tuple[str, ...]
    told: tuple[str, ...]

    def breaches(self, found: Found) -> list[str]:
        """Say in which counts *found* is not as promised."""
        kept = {
            "POSTs": found.posts == self.posts,
            "cancels": found.cancels in self.cancels,
            "adoption": found.adopted in self.adopted,
            "outcomes": found.outcomes == self.outcomes,
            "told": found.told == self.told,
        }
        return [name for name, is_kept in kept.items() if not is_kept]


_YES, _NO, _EITHER = frozenset({True}), frozenset({False}), frozenset({True, False})


def promise_of(cell: Cell) -> Promise:
    """Return what is promised: one POST, no cancel, and that the response is found again.

    The one exception is a process killed between the POST and the commit of its ID.
    """
    if cell.has_deadline:
        return _promise_of_a_deadline(cell)
    ends = ("completed",)
    if cell.way in TOLD:
        # What has begun to be sent is sent and recorded on the way out, so nothing is in doubt;
        # whether sending has begun is the one thing that is not known.
        adopted = _EITHER if cell.point is CrashPoint.BEFORE_INTENT else _YES
        return Promise(1, frozenset({0}), adopted, ends, ends)
    if cell.point in IN_DOUBT:
        posts = 2 if cell.point is CrashPoint.AFTER_POST else 1
        return Promise(posts, frozenset({0}), _NO, ("abandoned", "completed"), ends)
    adopted = _NO if cell.point is CrashPoint.BEFORE_INTENT else _YES
    return Promise(1, frozenset({0}), adopted, ends, ends)


def _promise_of_a_deadline(cell: Cell) -> Promise:
    is_sent_again = cell.point is CrashPoint.AFTER_CANCEL
    killed = {2} if is_sent_again else {1}
    cancels = frozenset({1, 2} if cell.way in TOLD else killed)
    return Promise(1, cancels, _YES, ("cancelled",), ("cancelled",))


def points_of(mode: Mode) -> tuple[CrashPoint, ...]:
    """Return the crash points that a call of *mode* reaches."""
    return tuple(point for point in CrashPoint if OF_ONE_MODE.get(point, mode) is mode)


def cells_of(way: Way) -> tuple[Cell, ...]:
    """Return every cell of one way, those that take longest first."""
    cells = (Cell(point, mode, way) for mode in Mode for point in points_of(mode))
    return tuple(sorted(cells, key=lambda cell: not (cell.has_deadline or cell.is_amid)))


def pairwise(way: Way) -> tuple[Cell, ...]:
    """Return a cell of one way for each point, in alternating modes."""
    modes = {point: (Mode.POLL, Mode.STREAM)[index % 2] for index, point in enumerate(CrashPoint)}
    chosen = modes | OF_ONE_MODE
    return tuple(cell for cell in cells_of(way) if chosen[cell.point] is cell.mode)
