"""What can stop a row job, a branch of the tree in `errors`. The message says what to do.

ResponsesError
├── RequestInvalid
│   ├── PriceMissing                 a budget in USD needs a price that the user did not give
│   ├── JobChanged                   the job would pay again, and was told not to
│   └── TableChanged                 the table differs from the one that the other workers read
├── AccountFull                      retryable: a claim would exceed a limit; nothing was sent
├── BudgetStopped                    a budget is used up; finished rows are kept, a run resumes
├── JobTakenOver                     another run began anew with another table or prompt
├── ResultRefused                    the table of results refuses a row; answers are kept
└── TableUnavailable                 retryable: the database of a table did not do what was asked
"""

from __future__ import annotations

from prefect_responses.errors import RequestInvalid, ResponsesError


class PriceMissing(RequestInvalid):
    """A budget in USD needs the price of this model: add it to the price list, with its date."""


class JobChanged(RequestInvalid):
    """The job changed and would pay for rows again: pass on_change="resubmit" to let it."""


class TableChanged(RequestInvalid):
    """The table is not the one that the other workers of this job read; give all of them one."""


class AccountFull(ResponsesError):
    """A claim would exceed a limit; nothing was sent.

    Args:
        account: name of the account that is full.
        limit: which of its limits: `max_usd`, `max_tokens` or `max_in_flight`.
    """

    retryable = True

    def __init__(self, account: str, limit: str) -> None:
        super().__init__(f"The account {account} has no room left within its {limit}.")
        self.account = account
        self.limit = limit


class BudgetStopped(ResponsesError):
    """A budget is used up; what is finished is kept, and a run with a larger one goes on.

    Args:
        account: name of the account whose budget it is.
        limit: which of its limits: `max_usd` or `max_tokens`.
    """

    def __init__(self, account: str, limit: str) -> None:
        super().__init__(
            f"The budget {limit} of {account} has no room for another row. Finished rows are kept; "
            "raise it, or wait for its next period, and run the job again."
        )
        self.account = account
        self.limit = limit


class JobTakenOver(ResponsesError):
    """Another run of this job began anew with another table or prompt, so this one stopped."""


class ResultRefused(ResponsesError):
    """The table of results refuses a row; answers are kept: change it and run the job again."""


class TableUnavailable(ResponsesError):
    """The database of a table did not do what was asked; answers are kept, run the job again."""

    retryable = True
