"""What one attempt may cost, and on whose account: small frozen values, without I/O.

Money is counted in whole nano-USD (1e-9 USD), prices in whole pico-USD a token, so that sums over
millions of rows are exact. One USD a million tokens is 1,000,000 pico-USD a token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Nano-USD in one USD.
NANO = 1_000_000_000
#: What a column of the ledger can hold at most.
MOST = 2**63 - 1
_PICO_IN_NANO = 1000
#: No response has so many tokens: a server that says more has said nothing.
_MOST_TOKENS = 10**12


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in pico-USD a token.

    Args:
        input: tokens read.
        cached_input: tokens read that the server had cached.
        output: tokens written, reasoning included.
    """

    input: int
    cached_input: int
    output: int

    def cost(self, usage: Mapping[str, Any]) -> int:
        """Return the nano-USD of *usage* as the API reports it, rounded up; what is not said is 0.

        Cached tokens are part of `input_tokens` (API reference, usage). It is `MOST` at most.
        """
        read, written = (said_tokens(usage.get(name)) or 0 for name in _COUNTS)
        details = usage.get("input_tokens_details")
        said = details.get("cached_tokens") if isinstance(details, dict) else None
        cached = min(read, said_tokens(said) or 0)
        pico = (read - cached) * self.input + cached * self.cached_input + written * self.output
        return min(MOST, -(-pico // _PICO_IN_NANO))


@dataclass(frozen=True, slots=True)
class AccountLimit:
    """Name an account, and what it may hold at most.

    Args:
        name: what the account is kept under, such as `job:reviews` or `day:2026-11-21:job:reviews`.
        max_usd: nano-USD spent and reserved at most, or None.
        max_tokens: tokens spent and reserved at most, or None.
        max_in_flight: attempts on it that were sent and have not ended, at most, or None.
    """

    name: str
    max_usd: int | None = None
    max_tokens: int | None = None
    max_in_flight: int | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """What an attempt reserves when it is claimed, and how its real cost is found when it ends.

    Args:
        accounts: each of them is charged; one that is full refuses the claim.
        usd: nano-USD to reserve.
        tokens: tokens to reserve, read and written together.
        price: what the model costs, or None where no price is known.
    """

    accounts: tuple[AccountLimit, ...]
    usd: int = 0
    tokens: int = 0
    price: Price | None = None

    @property
    def fits_nowhere(self) -> bool:
        """Tell whether it alone is more than one of its accounts may ever hold."""
        return any(
            (one.max_usd is not None and self.usd > one.max_usd)
            or (one.max_tokens is not None and self.tokens > one.max_tokens)
            for one in self.accounts
        )


def used_tokens(usage: Mapping[str, Any]) -> int:
    """Return the tokens of *usage*, read and written together."""
    return sum(said_tokens(usage.get(name)) or 0 for name in _COUNTS)


def says_all(usage: Mapping[str, Any]) -> bool:
    """Tell whether *usage* says how much was read and how much was written."""
    return all(said_tokens(usage.get(name)) is not None for name in _COUNTS)


def said_tokens(value: Any) -> int | None:
    """Return *value* if it can be a number of tokens, else None: a server may say anything."""
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return value if is_count and 0 <= value <= _MOST_TOKENS else None


_COUNTS = ("input_tokens", "output_tokens")
