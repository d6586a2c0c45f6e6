"""What others do with the same rows: bare loops that keep nothing, and Prefect's task per row."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from measuring import Cost, main, measured

if TYPE_CHECKING:
    from collections.abc import Iterator

    import aiohttp
    import httpx

#: Connections of the bare loops.
CONNECTIONS = 16


class Http(Protocol):
    """A client as a bare loop uses it: JSON in, JSON out."""

    async def post(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send *body*."""

    async def get(self, url: str) -> dict[str, Any]:
        """Read what lies at *url*."""


class Httpx:
    """httpx, as one writes it."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def post(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send *body*."""
        return (await self._client.post(url, json=body)).raise_for_status().json()

    async def get(self, url: str) -> dict[str, Any]:
        """Read what lies at *url*."""
        return (await self._client.get(url)).raise_for_status().json()


class Aiohttp:
    """aiohttp with orjson."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def post(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send *body*."""
        headers = {"content-type": "application/json"}
        async with self._session.post(url, data=orjson.dumps(body), headers=headers) as answer:
            answer.raise_for_status()
            return orjson.loads(await answer.read())

    async def get(self, url: str) -> dict[str, Any]:
        """Read what lies at *url*."""
        async with self._session.get(url) as answer:
            answer.raise_for_status()
            return orjson.loads(await answer.read())


async def ask_about_all(http: Http, url: str, texts: list[str], in_flight: int, poll: float) -> int:
    """Ask about every text, at most *in_flight* at a time; keep nothing. Return the answers."""
    answered, rows = 0, iter(texts)

    async def lane(rows: Iterator[str]) -> None:
        nonlocal answered
        for text in rows:
            response = await http.post(url, request_for(text))
            while response["status"] not in {"completed", "failed"}:
                await asyncio.sleep(poll)
                response = await http.get(f"{url}/{response['id']}")
            orjson.loads(response["output"][0]["content"][0]["text"])
            answered += 1

    async with asyncio.TaskGroup() as lanes:
        for _ in range(in_flight):
            lanes.create_task(lane(rows))
    return answered


def request_for(text: str) -> dict[str, Any]:
    """Return the request that everybody sends."""
    return {"model": "stub", "input": f"Say {text}", "background": True, "store": True}


def texts_of(rows: int) -> list[str]:
    """Return what the rows of the table say."""
    return [f"{number} {'text ' * 60}" for number in range(rows)]


def loop_on_httpx(*, rows: int, in_flight: int, poll: float) -> Cost:
    """Run the loop on httpx with its default transport."""
    import httpx  # noqa: PLC0415 - only what is measured is imported

    async def work() -> Cost:
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        async with httpx.AsyncClient(limits=limits, timeout=120.0, headers=_headers()) as client:
            return await _loop(Httpx(client), rows, in_flight, poll)

    return asyncio.run(work())


def loop_on_httpx_aiohttp(*, rows: int, in_flight: int, poll: float) -> Cost:
    """Run the loop on httpx with the transport of httpx-aiohttp."""
    import httpx  # noqa: PLC0415 - as above
    from httpx_aiohttp import HttpxAiohttpClient  # noqa: PLC0415 - as above

    async def work() -> Cost:
        limits = httpx.Limits(max_connections=100)
        async with HttpxAiohttpClient(limits=limits, timeout=120.0, headers=_headers()) as client:
            return await _loop(Httpx(client), rows, in_flight, poll)

    return asyncio.run(work())


def loop_on_aiohttp(*, rows: int, in_flight: int, poll: float) -> Cost:
    """Run the loop on aiohttp with orjson."""
    import aiohttp  # noqa: PLC0415 - as above

    async def work() -> Cost:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=120.0),
            headers=_headers(),
        ) as session:
            return await _loop(Aiohttp(session), rows, in_flight, poll)

    return asyncio.run(work())


async def _loop(http: Http, rows: int, in_flight: int, poll: float) -> Cost:
    cost, url, texts = Cost(), _url(), texts_of(rows)
    with measured(cost):
        cost.facts["answered"] = await ask_about_all(http, url, texts, in_flight, poll)
    return cost


def task_per_row(*, rows: int, poll: float) -> Cost:
    """Run a Prefect task for each row, all gathered, on the openai SDK."""
    from openai import AsyncOpenAI  # noqa: PLC0415 - as above
    from prefect import flow, task  # noqa: PLC0415 - as above

    client = AsyncOpenAI()
    cost, texts = Cost(), texts_of(rows)

    @task
    async def ask(text: str) -> str:
        response = await client.responses.create(**request_for(text))
        while response.status not in {"completed", "failed"}:
            await asyncio.sleep(poll)
            response = await client.responses.retrieve(response.id)
        return response.output_text

    @flow
    async def ask_all() -> None:
        with measured(cost):
            answers = await asyncio.gather(*(ask(text) for text in texts))
        cost.facts["answered"] = len(answers)

    asyncio.run(ask_all())
    return cost


def _url() -> str:
    return f"{os.environ['OPENAI_BASE_URL']}/responses"


def _headers() -> dict[str, str]:
    return {"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}


if __name__ == "__main__":
    main(
        {
            "httpx": loop_on_httpx,
            "httpx-aiohttp": loop_on_httpx_aiohttp,
            "aiohttp": loop_on_aiohttp,
            "task-per-row": task_per_row,
        }
    )
