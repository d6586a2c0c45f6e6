"""Reading a ledger leaves nothing behind: no file, no table, no owner."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text

from prefect_responses.errors import LedgerUnavailable
from prefect_responses.ledger.reading import check_is_there, reading


async def test_a_reader_sees_what_is_there_and_owns_nothing(url, ledger, stage):
    settled = await stage.settled()

    async with reading(url) as read:
        assert read.uuid == ledger.uuid
        assert await read.attempt(settled.id) == settled
        assert (await read.audit()).keys == 1

    async with ledger._writes.connect() as connection:
        owners = await connection.execute(text("SELECT id FROM owners"))
        assert owners.scalars().all() == [ledger.owner_id]


async def test_a_file_that_is_not_there_is_not_made(tmp_path):
    url = f"sqlite:///{tmp_path}/ledger.db"

    with pytest.raises(LedgerUnavailable, match="no ledger at"):
        check_is_there(url)
    with pytest.raises(LedgerUnavailable, match="no ledger at"):
        async with reading(url):
            pass

    assert list(tmp_path.iterdir()) == []


async def test_a_file_without_a_ledger_is_not_made_one(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/ledger.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE theirs (id INTEGER)"))
    engine.dispose()

    with pytest.raises(LedgerUnavailable, match="missing or old"):
        async with reading(f"sqlite:///{tmp_path}/ledger.db"):
            pass


async def test_a_server_is_not_looked_for_among_files():
    check_is_there("postgresql://localhost:1/ledger")
