"""Only what never left is called not sent."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading

import aiohttp
import httpx
import pytest
from aiohttp.client_reqrep import ConnectionKey

from prefect_responses.client.sending import Sending, SendingOnAiohttp
from prefect_responses.wire.answers import TransportFailure

_KEY = ConnectionKey(
    host="host",
    port=443,
    is_ssl=True,
    ssl=True,
    proxy=None,
    proxy_auth=None,
    proxy_headers_hash=None,
)
BODY = b'{"id":"resp_1","object":"response","status":"queued"}'


async def failure_of_a_post(api):
    answer = await api.create({"model": "m"}, client_request_id="try-1")
    assert answer.status is None
    assert answer.note
    return answer.failure


async def test_a_refused_connection(connect):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/v1"
        assert await failure_of_a_post(connect(url)) is TransportFailure.NOT_SENT


async def test_a_name_that_does_not_resolve(connect):
    api = connect("https://nowhere.invalid/v1")
    assert await failure_of_a_post(api) is TransportFailure.NOT_SENT


async def test_a_server_that_speaks_no_tls(start_server, connect):
    server = start_server(reads_requests=False)
    server.sends(b"HTTP/1.1 400 Bad Request\r\n\r\n", then="close")
    api = connect(server.url.replace("http:", "https:"))
    assert await failure_of_a_post(api) is TransportFailure.NOT_SENT


async def test_a_connection_that_never_stands(start_server, connect):
    server = start_server(reads_requests=False)
    server.sends(b"", then="stall")
    api = connect(server.url.replace("http:", "https:"), limits={"connect": 0.3})
    assert await failure_of_a_post(api) is TransportFailure.NOT_SENT


async def test_a_short_submit_timeout_does_not_hide_that_no_connection_stood(start_server, connect):
    server = start_server(reads_requests=False)
    server.sends(b"", then="stall")
    api = connect(server.url.replace("http:", "https:"), limits={"submit": 0.6})
    assert await failure_of_a_post(api) is TransportFailure.NOT_SENT


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            *subject,
            *files,
        ],
        check=True,
        capture_output=True,
    )
    return key, cert


@pytest.fixture
def tls_server(certificate, start_server):
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = start_server(ssl=context)
    server.answers(200, BODY)
    return server


async def test_a_certificate_that_is_not_trusted(tls_server, connect):
    assert await failure_of_a_post(connect(tls_server.url)) is TransportFailure.NOT_SENT
    assert tls_server.requests == []


async def test_a_certificate_that_is_trusted(tls_server, certificate, connect):
    context = ssl.create_default_context(cafile=certificate[1])
    answer = await connect(tls_server.url, verify=context).create({}, client_request_id="a")
    assert (answer.status, answer.failure) == (200, None)


@pytest.mark.parametrize("way", ["plain", "tls", "stream"])
async def test_a_connection_that_was_closed_while_the_loop_was_busy(
    request, server, connect, certificate, way
):
    server = request.getfixturevalue("tls_server") if way == "tls" else server
    read, closed = threading.Event(), threading.Event()

    async def close_once_it_was_read(writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY))
        await asyncio.to_thread(read.wait, 5)
        writer.close()
        await asyncio.sleep(0.01)
        closed.set()

    server.script[:] = [close_once_it_was_read]
    api = connect(server.url, verify=ssl.create_default_context(cafile=certificate[1]))
    for _ in range(3):
        answer = await create(api, as_stream=way == "stream")
        assert (answer.status, answer.note) == (200, "")
        read.set()
        closed.wait(5)
        read.clear()
        closed.clear()

    assert server.posts == 3


async def create(api, *, as_stream):
    if not as_stream:
        return await api.create({"model": "m"}, client_request_id="try-1")
    async with api.create_stream({"model": "m"}, client_request_id="try-1") as stream:
        return stream.answer


# --- by error, for those that no local server can provoke -----------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError,
        httpx.ConnectTimeout,
        httpx.PoolTimeout,
        httpx.ProxyError,
        httpx.UnsupportedProtocol,
    ],
)
def test_errors_of_httpx_before_sending(error):
    assert Sending().failure(error("no")) is TransportFailure.NOT_SENT


@pytest.mark.parametrize(
    "error",
    [
        httpx.WriteError("no"),
        httpx.WriteTimeout("no"),
        httpx.ReadError("no"),
        httpx.ReadTimeout("no"),
        httpx.RemoteProtocolError("no"),
        httpx.DecodingError("no"),
        httpx.CloseError("no"),
        TimeoutError(),
        ssl.SSLError("no"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_other_errors_of_httpx_are_doubted_unless_only_the_connection_was_begun(error):
    sending = Sending()
    assert sending.failure(error) is TransportFailure.AFTER_SENDING
    await sending.extensions["trace"]("connection.connect_tcp.started", {})
    assert sending.failure(error) is TransportFailure.NOT_SENT
    await sending.extensions["trace"]("http11.send_request_headers.started", {})
    assert sending.failure(error) is TransportFailure.AFTER_SENDING


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "cause",
    [
        aiohttp.ClientConnectorError(_KEY, OSError(1, "no")),
        aiohttp.ClientConnectorDNSError(_KEY, OSError(1, "no")),
        aiohttp.ClientProxyConnectionError(_KEY, OSError(1, "no")),
        aiohttp.ConnectionTimeoutError("no"),
        aiohttp.InvalidURL("no"),
    ],
    ids=lambda cause: type(cause).__name__,
)
def test_errors_of_aiohttp_before_sending(cause):
    assert SendingOnAiohttp().failure(cause) is TransportFailure.NOT_SENT
    wrapped = caused(httpx.ConnectError("no"), cause)
    assert SendingOnAiohttp().failure(wrapped) is TransportFailure.NOT_SENT


@pytest.mark.parametrize(
    "cause",
    [
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientOSError(1, "no"),
        aiohttp.ClientConnectionResetError("no"),
        aiohttp.SocketTimeoutError("no"),
        aiohttp.ServerTimeoutError("no"),
        aiohttp.ClientPayloadError("no"),
    ],
    ids=lambda cause: type(cause).__name__,
)
def test_errors_of_aiohttp_are_doubted_whatever_they_are_translated_to(cause):
    wrapped = caused(httpx.ConnectTimeout("no"), cause)
    assert SendingOnAiohttp().failure(wrapped) is TransportFailure.AFTER_SENDING
    assert SendingOnAiohttp().failure(cause) is TransportFailure.AFTER_SENDING


def test_an_error_of_unknown_origin_on_aiohttp_is_doubted():
    assert SendingOnAiohttp().failure(httpx.ConnectError("no")) is TransportFailure.AFTER_SENDING
    assert SendingOnAiohttp().failure(TimeoutError()) is TransportFailure.AFTER_SENDING
