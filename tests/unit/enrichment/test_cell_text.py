from __future__ import annotations

import datetime as dt
import ipaddress
from decimal import Decimal
from enum import Enum, IntEnum
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from prefect_responses.enrichment.sources import cell_text
from prefect_responses.errors import TableInvalid


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    LARGE = 3


class Loud(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("", ""),
        ("Zoë\n\0", "Zoë\n\0"),
        (Loud("a"), "a"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-(10**30), "-1000000000000000000000000000000"),
        (1.0, "1.0"),
        (0.1, "0.1"),
        (1e22, "1e+22"),
        (float("inf"), "inf"),
        (float("nan"), ""),
        (Decimal("1.50"), "1.50"),
        (Decimal("1E+3"), "1000"),
        (Decimal("NaN"), ""),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.time(3, 4, 5), "03:04:05"),
        (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), "2026-01-02T03:04:05+00:00"),
        (dt.timedelta(hours=1, microseconds=1), "3600.000001"),
        (b"\xff\0", "/wA="),
        (memoryview(b"a"), "YQ=="),
        (Colour.RED, "red"),
        (Size.LARGE, "3"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (ipaddress.ip_address("::1"), "::1"),
        ([], "[]"),
        ((1, "ü", None), '[1,"ü",null]'),
        ({"a": {"b": [True, 1.5]}}, '{"a":{"b":[true,1.5]}}'),
        ({1: dt.date(2026, 1, 2)}, '{"1":"2026-01-02"}'),
        ([Decimal("1.50"), b"a", Loud("a"), (1,), UUID(int=0)], None),
        ([float("nan"), pd.NaT, pd.NA], "[null,null,null]"),
        ([10**30, "\ud800", float("inf")], '[1000000000000000000000000000000,"\ufffd",null]'),
        (np.int64(3), "3"),
        (np.float64(0.1), "0.1"),
        (np.bool_(1), "true"),
        (np.array([1.5, 2]), "[1.5,2.0]"),
        ([np.array([1])], "[[1]]"),
        (pd.NaT, ""),
        (pd.NA, ""),
        (pd.Timestamp("2026-01-02"), "2026-01-02T00:00:00"),
    ],
)
def test_each_kind_of_value_has_one_text(value: object, text: str | None) -> None:
    expected = '["1.50","YQ==","a",[1],"00000000-0000-0000-0000-000000000000"]'
    assert cell_text(value) == (expected if text is None else text)


@pytest.mark.parametrize("value", [object(), {1}, [object()], {"a": {"b": [{1}]}}, 1j])
def test_what_has_no_rule_is_refused(value: object) -> None:
    with pytest.raises(TableInvalid, match=r"type (object|set|complex) has no form as text"):
        cell_text(value)
