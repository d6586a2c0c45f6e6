"""Follow a long stream in processes that are killed, one after the other, and count."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import httpx
from lab import PATIENCE
from stored_text import long_text, text_in

from prefect_responses.decisions.progress_pace import ProgressPace

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab import Lab

STORY = "long_stream"
#: Seconds after which a process that hears the stream is killed at the latest.
LONGEST = 1.2
#: One kill in so many comes before the process hears anything.
EARLY = 4
#: Bytes that were sent and not yet read, in the sockets' buffers, at a kill; on the average.
BUFFERED = 64 * 1024


@dataclass(frozen=True, slots=True)
class Shape:
    """How long a stream is, and how often its follower is killed.

    Args:
        words: events that carry text.
        kills: processes that are killed, before one may come to the end.
        rate: events in a second.
        seed: of the moments.
    """

    words: int
    kills: int
    rate: float
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Facts:
    """What came of it.

    Args:
        posts: POSTs that were made.
        stored: the text that the consumer has stored.
        answer: the text of the answer that the last process returned.
        truth: the text that the API has.
        events: events that the response has.
        size: bytes of an event.
        again: how many events were sent again after each kill.
        commits: commits of the progress, over all processes.
        microseconds: CPU time of an event in the last process, the consumer's apart.
        last: events that the last process received.
        seconds: wall time of all.
    """

    posts: int
    stored: str
    answer: str
    truth: str
    events: int
    size: float
    again: tuple[int, ...]
    commits: int
    microseconds: float
    last: int
    seconds: float

    def breaches(self, shape: Shape) -> list[str]:
        """Say what is not as promised."""
        kept = {
            "one POST": self.posts == 1,
            "each character stored once": self.stored == self.truth == long_text(shape.words),
            "the answer is whole": self.answer == self.truth,
            "all events came": self.events >= shape.words,
            "little is sent again": sum(self.again) <= shape.kills * self.most_again(),
        }
        return [promise for promise, is_kept in kept.items() if not is_kept]

    def most_again(self) -> float:
        """Return how many events may be sent again after a kill, on the average.

        It is what is committed at once, and what the dead process had not read: the API counts
        what it sent.
        """
        return ProgressPace().most_events(len(self.truth)) + BUFFERED / self.size

    def report(self, shape: Shape) -> dict[str, str]:
        """Return the numbers for people."""
        return {
            "events of the response": f"{self.events:,}",
            "kills": f"{shape.kills}",
            "POSTs": f"{self.posts}",
            "characters stored, each once": f"{len(self.stored):,}",
            "events sent again": f"{sum(self.again):,}, at most {max(self.again):,} after a kill",
            "commits of the progress": f"{self.commits}",
            "CPU of following": f"{self.microseconds:.0f} microseconds an event",
        }


def follow_and_kill(lab: Lab, shape: Shape, tell: Callable[[int], None] = lambda _: None) -> Facts:
    """Kill followers of one stream at random moments, and let the last come to its end.

    While nobody follows, the API pauses after every other kill: the stream shall not end before the
    last kill, and after the other kills there is a backlog to be sent.
    """
    lab.control.set_latency("constant:0.2")
    lab.control.change_settings(token_rate=shape.rate)
    dice = Random(shape.seed)  # noqa: S311 - moments, no secrets
    run, began = lab.plan(STORY, words=shape.words), time.monotonic()
    for kill in range(shape.kills):
        _kill_one(lab, run, dice, is_early=kill % EARLY == EARLY - 1)
        if kill % 2 == 0:
            lab.control.stop_clock()
        tell(kill + 1)
    lab.control.start_clock()
    assert lab.finish(run, STORY) == 0, lab.log(run)
    return _facts(lab, time.monotonic() - began)


def _kill_one(lab: Lab, run: str, dice: Random, *, is_early: bool) -> None:
    heard = len(_connections(lab))
    process = lab.start(run, STORY)
    if not is_early:
        lab.wait_for(lambda: len(_connections(lab)) > heard and _is_stored(lab))
        lab.control.start_clock()
    time.sleep(dice.uniform(0, LONGEST))  # a random moment is what is tested
    process.send_signal(signal.SIGKILL)
    assert process.wait(PATIENCE) == -signal.SIGKILL, "it ended before it was killed"


def _is_stored(lab: Lab) -> bool:
    [create] = _creates(lab)
    return lab.attempts(create["body"]["input"], "state") == ["submitted"]


def _creates(lab: Lab) -> list[dict[str, Any]]:
    entries = lab.control.journal(method="POST")
    return [entry for entry in entries if entry["path"] == "/v1/responses"]


def _connections(lab: Lab) -> list[dict[str, Any]]:
    """Return the notes of all streams that were sent, in order."""
    entries = [entry for entry in lab.control.journal() if entry["stream"]]
    return [entry["stream"] for entry in sorted(entries, key=lambda entry: entry["n"])]


def _facts(lab: Lab, seconds: float) -> Facts:
    creates, connections = _creates(lab), _connections(lab)
    url = f"{lab.emulator.url}/responses/{creates[0]['response_id']}"
    answer = httpx.get(url, headers={"authorization": "Bearer sk-lab"}, timeout=PATIENCE).json()
    last = connections[-1]["events"]
    return Facts(
        posts=len(creates),
        stored=text_in(lab.folder / "pieces"),
        answer=lab.notes("answer")[-1],
        truth=answer["output"][0]["content"][0]["text"],
        events=len(lab.control.events(creates[0]["response_id"])),
        size=sum(each["bytes"] for each in connections) / sum(e["events"] for e in connections),
        again=_sent_again(connections),
        commits=len(lab.notes("commits")),
        microseconds=lab.notes("seconds")[-1] / last * 1e6,
        last=last,
        seconds=seconds,
    )


def _sent_again(connections: list[dict[str, Any]]) -> tuple[int, ...]:
    """Return for each connection but the first how much of what it sent had been sent before."""
    sent, again = -1, []
    for note in connections:
        after = -1 if note["starting_after"] is None else note["starting_after"]
        again.append(max(0, sent - after))
        sent = max(sent, note["last_number"] if note["last_number"] is not None else -1)
    return tuple(again[1:])
