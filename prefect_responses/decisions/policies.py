"""Policies: values that say how long, how often and what then. By themselves they do nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect_responses.decisions.poll_schedule import PollSchedule

#: Bounds of the first rule of polling, in seconds.
FIRST_LEAST, FIRST_MOST = 0.5, 30.0
#: Bounds of what is learned, in seconds, where a user set none.
LEARNED_LEAST, LEARNED_MOST = 0.1, 600.0


class InDoubtMode(StrEnum):
    """Say what to do with an attempt whose POST may or may not have been accepted.

    Two more are to come: `hold` (wait for a webhook that names it) and `fence` (look into the
    conversation that was made for it). So match over the modes and end in `assert_never`.
    """

    #: Resubmit, except where hosted tools act outside and no answer came: then fail.
    AUTO = "auto"
    #: Submit once more; a second accepted response is possible, and the audit names it.
    RESUBMIT = "resubmit"
    #: Raise; a person looks on the server and tells the ledger.
    FAIL = "fail"
    #: Look for it among the responses that the server lists, by the metadata that it was sent with;
    #: submit once more only if it is not there, and raise where the server does not list. Both
    #: clocks must agree within a minute, and the server must keep metadata.
    SEARCH = "search"


class AwaitMode(StrEnum):
    """Say how the end of a response is waited for. A webhook will be a further rung."""

    #: Follow the events of one that was created as a stream while they can be followed; else poll.
    AUTO = "auto"
    #: Read it again and again.
    POLL = "poll"
    #: Follow its events, also where it is not known whether it has some; where not, poll.
    STREAM = "stream"


class OnChange(StrEnum):
    """Say what to do when a key was used for another request before."""

    ERROR = "error"
    ADOPT = "adopt"
    RESUBMIT = "resubmit"


#: Hosted tools that act outside: running them twice may do harm (API reference, tools).
ACTING_TOOLS = frozenset(
    {"mcp", "computer", "computer_use", "computer_use_preview", "shell", "code_interpreter"}
)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Wait longer after each try.

    Args:
        first: seconds after the first try.
        factor: by which each wait grows.
        most: seconds that no wait exceeds.
    """

    first: float = 1.0
    factor: float = 2.0
    most: float = 60.0

    def wait(self, tries: int) -> float:
        """Return the seconds to wait after *tries* tries, at least one."""
        try:
            grown = self.first * self.factor ** max(0, tries - 1)
        except OverflowError:  # a thousand refusals in a row are a busy night, not a bug
            return float(self.most)
        return float(min(self.most, grown))


@dataclass(frozen=True, slots=True)
class InDoubtPolicy:
    """Say how often and how soon an attempt in doubt is submitted again.

    Args:
        mode: see `InDoubtMode`, which will have more members.
        max_resubmissions: attempts in doubt that may follow one another directly.
        backoff: waits before each of them.
    """

    mode: InDoubtMode = InDoubtMode.AUTO
    max_resubmissions: int = 2
    backoff: Backoff = field(default_factory=lambda: Backoff(first=1.0, most=30.0))


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """Space the polls of one response.

    The first rule, as long as too little is known of how long this endpoint and model take: a share
    of the time waited, between two bounds. After that, what was learned (see `PollSchedule`).

    A bound that is left as it is bounds the first rule only: half a minute between two polls would
    cost thirteen for a response of six minutes, where eight do. What is learned has bounds of its
    own, a tenth of a second and ten minutes. A bound with another value holds for both.

    Args:
        least: seconds between two polls at the start.
        most: seconds between two polls at the end.
        share: of the time waited so far; of the first rule.
        learns: take what was learned; if not, the first rule stays.
        missing_grace: seconds after acceptance in which a 404 is read-after-write lag.
        bad_answers: consecutive unreadable answers that are tolerated.
        backoff: waits after bad answers.
    """

    least: float = FIRST_LEAST
    most: float = FIRST_MOST
    share: float = 0.15
    missing_grace: float = 10.0
    bad_answers: int = 30
    backoff: Backoff = field(default_factory=lambda: Backoff(first=1.0, most=60.0))
    learns: bool = True
    notes: bool = True

    def next_wait(self, waited: float, learned: PollSchedule | None = None) -> float:
        """Return the seconds until the next poll.

        Args:
            waited: seconds since the response was accepted.
            learned: what is known of how long such responses take, or None.
        """
        if learned is None or not self.learns:
            return min(self.most, max(self.least, self.share * waited))
        least = LEARNED_LEAST if self.least == FIRST_LEAST else self.least
        most = LEARNED_MOST if self.most == FIRST_MOST else self.most
        return min(most, max(least, learned.next_wait(waited)))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Say how many attempts one run may pay for, and for which failures.

    Args:
        max_attempts: attempts per run count; 1 returns the first outcome, whatever it is.
        codes: `error.code` of a failed response after which a new attempt makes sense.
    """

    max_attempts: int = 1
    codes: frozenset[str] = frozenset(
        {
            "server_error",
            "rate_limit_exceeded",
            "vector_store_timeout",
            "server_is_overloaded",
            "slow_down",
        }
    )


@dataclass(frozen=True, slots=True)
class TimeoutPolicy:
    """Say how long a response may take, and how long its end is waited for after that.

    Args:
        seconds: from planning an attempt to its deadline, or None for no deadline of its own.
        at: a deadline in seconds since the epoch that no attempt outlives, or None.
        grace: seconds after the cancel in which the end is still waited for, and in which a
            cancelled response is watched: servers have been seen to complete one.
    """

    seconds: float | None = None
    at: float | None = None
    grace: float = 10.0

    def deadline(self, now: float) -> float | None:
        """Return the deadline of an attempt that is planned *now*, or None."""
        own = [] if self.seconds is None else [now + self.seconds]
        return min([*own, *([] if self.at is None else [self.at])], default=None)


@dataclass(frozen=True, slots=True)
class FollowPolicy:
    """Say how stubbornly a stream is followed.

    Args:
        tries: connections in a row that brought nothing new before polling takes over for good.
        backoff: waits between them.
        silence: seconds without an event, keepalives apart, after which the response is read: its
            stream may have been forgotten.
    """

    tries: int = 5
    silence: float = 60.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.25, most=5.0))


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """Everything that governs one call.

    Args:
        mode: see `AwaitMode`.
        timeout: see `TimeoutPolicy`.
        follow: see `FollowPolicy`.
        in_doubt: see `InDoubtPolicy`.
        poll: see `PollPolicy`.
        retry: see `RetryPolicy`.
        refused_for_now: waits where the server names none.
        unreachable_tries: connections that may fail before the call raises.
        owner_poll: seconds between looks at an attempt that another process is submitting.
    """

    mode: AwaitMode = AwaitMode.AUTO
    timeout: TimeoutPolicy = field(default_factory=TimeoutPolicy)
    follow: FollowPolicy = field(default_factory=FollowPolicy)
    in_doubt: InDoubtPolicy = field(default_factory=InDoubtPolicy)
    poll: PollPolicy = field(default_factory=PollPolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    refused_for_now: Backoff = field(default_factory=Backoff)
    unreachable_tries: int = 4
    owner_poll: float = 0.25
