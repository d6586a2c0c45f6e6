"""Policies: values that say how long, how often and what then. By themselves they do nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class InDoubtMode(StrEnum):
    """Say what to do with an attempt whose POST may or may not have been accepted."""

    #: Resubmit, except where hosted tools act outside and no answer came: then fail.
    AUTO = "auto"
    #: Submit once more; a second accepted response is possible, and the audit names it.
    RESUBMIT = "resubmit"
    #: Raise; a person looks on the server and tells the ledger.
    FAIL = "fail"


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
    """Say how often and how soon an attempt in doubt is submitted again."""

    mode: InDoubtMode = InDoubtMode.AUTO
    max_resubmissions: int = 2
    backoff: Backoff = field(default_factory=lambda: Backoff(first=1.0, most=30.0))


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """Space the polls of one response: a share of the time waited, between two bounds.

    Args:
        least: seconds between two polls at the start.
        most: seconds between two polls at the end.
        share: of the time waited so far.
        missing_grace: seconds after acceptance in which a 404 is read-after-write lag.
        bad_answers: consecutive unreadable answers that are tolerated.
        backoff: waits after bad answers.
    """

    least: float = 0.5
    most: float = 30.0
    share: float = 0.15
    missing_grace: float = 10.0
    bad_answers: int = 30
    backoff: Backoff = field(default_factory=lambda: Backoff(first=1.0, most=60.0))

    def next_wait(self, waited: float) -> float:
        """Return the seconds until the next poll after having waited *waited* seconds."""
        return min(self.most, max(self.least, self.share * waited))


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
class CallPolicy:
    """Everything that governs one call.

    Args:
        in_doubt: see `InDoubtPolicy`.
        poll: see `PollPolicy`.
        retry: see `RetryPolicy`.
        refused_for_now: waits where the server names none.
        unreachable_tries: connections that may fail before the call raises.
        owner_poll: seconds between looks at an attempt that another process is submitting.
    """

    in_doubt: InDoubtPolicy = field(default_factory=InDoubtPolicy)
    poll: PollPolicy = field(default_factory=PollPolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    refused_for_now: Backoff = field(default_factory=Backoff)
    unreachable_tries: int = 4
    owner_poll: float = 0.25
