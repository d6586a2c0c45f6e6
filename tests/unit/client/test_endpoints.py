from __future__ import annotations

import pytest

from prefect_responses.client.endpoints import check_base_url, path_segment
from prefect_responses.errors import EndpointInvalid, RequestInvalid


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("https://res.openai.azure.com/openai/v1/", "https://res.openai.azure.com/openai/v1"),
        ("https://host:8443", "https://host:8443"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("http://LocalHost/v1", "http://LocalHost/v1"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("http://127.8.9.10/v1", "http://127.8.9.10/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_a_usable_url(given, taken):
    assert check_base_url(given) == taken


@pytest.mark.parametrize(
    ("given", "repair"),
    [
        ("http://api.openai.com/v1", "use https"),
        ("http://10.0.0.5/v1", "use https"),
        ("http://localhost.evil.example/v1", "use https"),
        ("http://127.0.0.1.evil.example/v1", "use https"),
        ("ftp://host/v1", "https://host/v1"),
        ("api.openai.com/v1", "https://host/v1"),
        ("https:///v1", "https://host/v1"),
        ("", "https://host/v1"),
        ("https://user:hunter2@host/v1", "name and password"),
        ("https://user@host/v1", "name and password"),
        ("https://:hunter2@host/v1", "name and password"),
        ("https://host/v1?key=hunter2", "query"),
        ("https://host/v1#part", "fragment"),
        ("https://host:port/v1", "host and port"),
        ("https://host:99999/v1", "host and port"),
        ("https://[::1/v1", "host and port"),
        ("https://host/v1 ", "blanks"),
        ("https://host/v1\n", "blanks"),
        ("https://hóst/v1", "odd characters"),
    ],
)
def test_an_unusable_url_is_refused_with_its_repair_and_unquoted(given, repair):
    with pytest.raises(EndpointInvalid, match=repair) as caught:
        check_base_url(given)
    assert "hunter2" not in str(caught.value)


def test_http_elsewhere_must_be_allowed():
    assert check_base_url("http://llm.internal/v1", allow_insecure=True)


@pytest.mark.parametrize(
    ("response_id", "segment"),
    [
        ("resp_68a", "resp_68a"),
        ("resp-1", "resp-1"),
        ("a:b", "a:b"),
        ("YWJj==", "YWJj=="),
        ("...a", "...a"),
        ("a+b", "a%2Bb"),
        ("x" * 512, "x" * 512),
    ],
)
def test_an_id_is_quoted(response_id, segment):
    assert path_segment(response_id) == segment


@pytest.mark.parametrize("response_id", ["", ".", "..", "a/b", "a%2Fb", "a\n", "é", "x" * 513])
def test_what_is_no_id_is_refused(response_id):
    with pytest.raises(RequestInvalid):
        path_segment(response_id)
