from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_responses.wire.envelopes import (
    LONGEST_MESSAGE,
    ErrorEnvelope,
    clean_message,
    read_error_body,
)

API = {"enveloped": True, "structured": True}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b'{"error":{"message":"No.","type":"invalid_request_error","param":"input","code":"c"}}',
            ErrorEnvelope("No.", "invalid_request_error", "c", "input", **API),
        ),
        (
            b'{"error":{"message":"No.","type":null,"param":null,"code":null}}',
            ErrorEnvelope("No.", **API),
        ),
        (b'{"error":{"message":"No.","code":404}}', ErrorEnvelope("No.", code="404", **API)),
        (b'{"error":{"message":"No.","code":true}}', ErrorEnvelope("No.", **API)),
        (b'{"error":{"message":"No.","code":["a"]}}', ErrorEnvelope("No.", **API)),
        (b'{"error":{"message":"No.","code":""}}', ErrorEnvelope("No.", **API)),
        (b'{"error":{"message":{"a":1}}}', ErrorEnvelope('{"a":1}', **API)),
        (b'{"error":{}}', ErrorEnvelope(**API)),
        (b'{"error":"text"}', ErrorEnvelope("text", structured=True)),
        (b'{"error":null,"message":"m"}', ErrorEnvelope("m", structured=True)),
        (b'{"detail":"Not Found"}', ErrorEnvelope("Not Found", structured=True)),
        (b'{"detail":[{"loc":["a"]}]}', ErrorEnvelope('[{"loc":["a"]}]', structured=True)),
        (b'{"message":"m"}', ErrorEnvelope("m", structured=True)),
        (b"{}", ErrorEnvelope(structured=True)),
        (b"[1]", ErrorEnvelope("[1]")),
        (b"null", ErrorEnvelope()),
        (b'"text"', ErrorEnvelope("text")),
        (b"upstream connect error\n", ErrorEnvelope("upstream connect error")),
        (b'{"error":{"mess', ErrorEnvelope('{"error":{"mess')),
        (b"", ErrorEnvelope()),
        (
            b"<!DOCTYPE html><HTML><head><title>502 Bad\n Gateway</title></head><body>nginx",
            ErrorEnvelope("an HTML page, titled '502 Bad Gateway'"),
        ),
        (
            b"\n<html><body><h1 class='a'>Please &amp; <b>wait</b></h1></body>",
            ErrorEnvelope("an HTML page, titled 'Please & wait'"),
        ),
        (b"<html><body>long text</body></html>", ErrorEnvelope("an HTML page")),
        (b"<html><title> </title></html>", ErrorEnvelope("an HTML page")),
        (b"<p>no page", ErrorEnvelope("<p>no page")),
    ],
)
def test_every_shape_of_an_error_body(body, expected):
    assert read_error_body(body) == expected


def test_json_that_nests_deeper_than_it_can_be_written_gives_no_message():
    nested = b"[" * 300 + b"]" * 300
    assert read_error_body(b'{"detail":%s}' % nested) == ErrorEnvelope(structured=True)


def test_a_message_is_one_short_line_without_control_characters():
    assert clean_message("a\x1b[31m b\r\n\tc\x00\u202e") == "a[31m b c"
    long = clean_message("x" * 10_000)
    assert len(long) == LONGEST_MESSAGE
    assert long.endswith("…")
    assert clean_message("x" * LONGEST_MESSAGE) == "x" * LONGEST_MESSAGE


def test_a_title_is_short():
    body = b"<html><title>%s</title>" % (b"x" * 1000)
    assert len(read_error_body(body).message) < 200


@given(st.binary(max_size=300))
def test_any_bytes_are_read(body):
    envelope = read_error_body(body)
    assert len(envelope.message) <= LONGEST_MESSAGE
    assert envelope.message.isprintable()


@given(st.text(max_size=3000))
def test_any_text_is_cleaned(text):
    assert clean_message(text).isprintable()
