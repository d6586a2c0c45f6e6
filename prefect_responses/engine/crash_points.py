"""The places where a crash would hurt most, so that tests can crash there.

A test arms one in the environment of the process under test:
`PREFECT_RESPONSES_CRASH_POINT=after_post:kill` or, for the third time it is reached,
`after_post:kill:3`. Nothing is armed otherwise, and a reached point costs one comparison.
"""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from enum import StrEnum

VARIABLE = "PREFECT_RESPONSES_CRASH_POINT"


class CrashPoint(StrEnum):
    """Name a place between two durable steps of a call."""

    #: Nothing is written yet that says the call will be sent.
    BEFORE_INTENT = "before_intent"
    #: The intent is committed; no byte has left.
    AFTER_INTENT = "after_intent"
    #: The API has answered; its response ID is in this process only.
    AFTER_POST = "after_post"
    #: The response ID is committed.
    AFTER_ID = "after_id"
    #: A poll came back, and the response is still at work.
    WHILE_POLLING = "while_polling"
    #: Events of the response came, and how far they go was committed.
    WHILE_STREAMING = "while_streaming"
    #: It is committed that the response shall be cancelled; nothing was sent.
    BEFORE_CANCEL = "before_cancel"
    #: The API has answered the cancel; that is in this process only.
    AFTER_CANCEL = "after_cancel"
    #: The terminal answer is in this process only.
    BEFORE_SETTLING = "before_settling"
    #: The outcome is committed; the caller has not heard of it.
    AFTER_SETTLING = "after_settling"


class PassPoint(StrEnum):
    """Name a place between two durable steps of a job's pass."""

    #: The pass is open; none of its shards is taken.
    AFTER_OPENING = "after_opening_pass"
    #: A shard is taken; none of its rows was looked at.
    AFTER_TAKING = "after_taking_shard"
    #: All rows of a shard have ended; that is not written down.
    BEFORE_FINISHING = "before_finishing_shard"
    #: A part of the results is written.
    WHILE_WRITING = "while_writing_results"
    #: The results are written; the pass is open.
    BEFORE_CLOSING = "before_closing_pass"


_SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "stop": signal.SIGSTOP}


@dataclass(slots=True)
class _Armed:
    point: CrashPoint | PassPoint
    signal: signal.Signals
    remaining: int


def _read(text: str | None) -> _Armed | None:
    if not text:
        return None
    point, action, *nth = text.split(":")
    known: dict[str, CrashPoint | PassPoint] = {
        each.value: each for each in (*CrashPoint, *PassPoint)
    }
    return _Armed(known[point], _SIGNALS[action], int(nth[0]) if nth else 1)


_armed = _read(os.environ.get(VARIABLE))


def reach(point: CrashPoint | PassPoint) -> None:
    """Send this process the armed signal, if *point* is the armed one and its turn has come."""
    if _armed is None or _armed.point is not point:
        return
    _armed.remaining -= 1
    if _armed.remaining != 0:
        return
    if _armed.signal is signal.SIGSTOP:
        # To this thread: sent to the process, another takes it, and this one gets a step further.
        signal.pthread_kill(threading.get_ident(), _armed.signal)
    else:
        os.kill(os.getpid(), _armed.signal)
