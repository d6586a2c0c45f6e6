"""Tables of cases: every row of the API reference's error table, and every rule of submitting."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_responses.decisions.answers import (
    MONEY_CODES,
    read_cancel_answer,
    read_create_answer,
    read_retrieve_answer,
)
from prefect_responses.decisions.verdicts import (
    CancelRefused,
    CancelTaken,
    CancelUnknown,
    CreateAccepted,
    CreateAmbiguous,
    CreateNotSent,
    CreateParked,
    CreateRefused,
    CreateRefusedForNow,
    Gone,
    RetrieveParked,
    Seen,
    TryLater,
)
from prefect_responses.errors import (
    AnswerAmbiguous,
    AnswerUnreadable,
    CredentialsRefused,
    EndpointUnreachable,
    ModelNotFound,
    QuotaExhausted,
    RefusedForNow,
    RequestRefused,
)
from prefect_responses.statuses import ResponseStatus
from prefect_responses.wire.answers import Answer, TransportFailure

AFTER = TransportFailure.AFTER_SENDING
NOT_SENT = TransportFailure.NOT_SENT
QUEUED = b'{"id":"resp_1","object":"response","status":"queued"}'
CUT = b'{"id":"resp_1","object":"response","created_at":17'
HTML = b"<html><head><title>502 Bad Gateway</title></head></html>"


def api(code=None, type="invalid_request_error", param=None, message="No."):  # noqa: A002
    error = {"message": message, "type": type, "param": param, "code": code}
    return orjson.dumps({"error": error})


def bodies_of_proxies():
    return [HTML, b"", b"busy", b'{"detail":"busy"}', b'{"error":"busy"}', b"[1]"]


# --- create: rows of the error table --------------------------------------------------------------

TOO_LARGE = (
    "Request too large for m in organization o on tokens per min (TPM): Limit 30000, Requested "
    "90000. The input or output tokens must be reduced in order to run successfully."
)
TPM = "Rate limit reached for m on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000."
OVERLOADED = api("server_is_overloaded", type="service_unavailable_error")
ROWS = [
    # status, body, verdict, error
    (400, api(), CreateRefused, RequestRefused),
    (400, api("invalid_value"), CreateRefused, RequestRefused),
    (400, api("unknown_parameter"), CreateRefused, RequestRefused),
    (400, api("unsupported_parameter"), CreateRefused, RequestRefused),
    (400, api("missing_required_parameter"), CreateRefused, RequestRefused),
    (400, api("invalid_type"), CreateRefused, RequestRefused),
    (400, api("context_length_exceeded", param="input"), CreateRefused, RequestRefused),
    (400, api("previous_response_not_found"), CreateRefused, RequestRefused),
    (400, api("conversation_locked"), CreateRefusedForNow, RefusedForNow),
    (409, api("conversation_locked"), CreateRefusedForNow, RefusedForNow),
    (400, api(message="No tool output found for call_1."), CreateRefused, RequestRefused),
    (400, api("invalid_prompt"), CreateRefused, RequestRefused),
    (400, api("bio_policy"), CreateRefused, RequestRefused),
    (400, api(param="service_tier"), CreateRefused, RequestRefused),
    (400, api("model_not_found"), CreateParked, ModelNotFound),
    (400, api("insufficient_quota"), CreateParked, QuotaExhausted),
    (401, api("invalid_api_key"), CreateParked, CredentialsRefused),
    (402, api(402), CreateParked, QuotaExhausted),
    (403, api(), CreateParked, CredentialsRefused),
    (403, api("model_not_found"), CreateParked, ModelNotFound),
    (404, api("model_not_found"), CreateParked, ModelNotFound),
    (404, api(404, type="NotFoundError", param="model"), CreateParked, ModelNotFound),
    (404, api(), CreateRefused, RequestRefused),
    (405, api(), CreateRefused, RequestRefused),
    (407, b"", CreateParked, CredentialsRefused),
    (408, api("timeout"), CreateAmbiguous, AnswerAmbiguous),
    (409, api("conflict"), CreateAmbiguous, AnswerAmbiguous),
    (413, api(), CreateRefused, RequestRefused),
    (415, api(), CreateRefused, RequestRefused),
    (422, api(), CreateRefused, RequestRefused),
    (429, api("rate_limit_exceeded", type="requests"), CreateRefusedForNow, RefusedForNow),
    (429, api("rate_limit_exceeded", type="tokens"), CreateRefusedForNow, RefusedForNow),
    (429, api("rate_limit_exceeded", "tokens", message=TPM), CreateRefusedForNow, RefusedForNow),
    (429, api("rate_limit_exceeded", "tokens", message=TOO_LARGE), CreateRefused, RequestRefused),
    (429, api(None, "tokens", message=TOO_LARGE), CreateRefused, RequestRefused),
    (429, api("rate_limit_exceeded", None, message=TOO_LARGE), CreateRefused, RequestRefused),
    (429, api("slow_down", message=TOO_LARGE), CreateRefusedForNow, RefusedForNow),
    (503, api("rate_limit_exceeded", message=TOO_LARGE), CreateRefusedForNow, RefusedForNow),
    (429, api(None, type="rate_limit_error"), CreateRefusedForNow, RefusedForNow),
    (429, api("resource_unavailable"), CreateRefusedForNow, RefusedForNow),
    (429, api("slow_down"), CreateRefusedForNow, RefusedForNow),
    (429, api(None, type="insufficient_quota"), CreateParked, QuotaExhausted),
    *((429, api(code), CreateParked, QuotaExhausted) for code in sorted(MONEY_CODES)),
    (500, api("server_error", type="server_error"), CreateAmbiguous, AnswerAmbiguous),
    (501, api(), CreateAmbiguous, AnswerAmbiguous),
    (502, api("slow_down"), CreateAmbiguous, AnswerAmbiguous),
    (503, api("slow_down"), CreateRefusedForNow, RefusedForNow),
    (503, api("rate_reduction_required"), CreateRefusedForNow, RefusedForNow),
    (503, OVERLOADED, CreateRefusedForNow, RefusedForNow),
    (503, api("insufficient_quota"), CreateParked, QuotaExhausted),
    (504, api("server_is_overloaded"), CreateAmbiguous, AnswerAmbiguous),
    (520, api(), CreateAmbiguous, AnswerAmbiguous),
]


@pytest.mark.parametrize(("status", "body", "verdict", "error"), ROWS)
def test_a_create_answered_by_the_api(status, body, verdict, error):
    read = read_create_answer(Answer(status, body))
    assert type(read) is verdict
    assert type(read.error) is error
    assert read.error.status == status


BARE_ROWS = [
    (301, CreateAmbiguous),
    (307, CreateAmbiguous),
    (400, CreateRefused),
    (401, CreateParked),
    (403, CreateParked),
    (404, CreateRefused),
    (408, CreateAmbiguous),
    (409, CreateAmbiguous),
    (422, CreateRefused),
    (429, CreateRefusedForNow),
    (500, CreateAmbiguous),
    (502, CreateAmbiguous),
    (503, CreateAmbiguous),
    (504, CreateAmbiguous),
    (200, CreateAmbiguous),
    (202, CreateAmbiguous),
    (204, CreateAmbiguous),
]


@pytest.mark.parametrize("body", bodies_of_proxies())
@pytest.mark.parametrize(("status", "verdict"), BARE_ROWS)
def test_a_create_answered_by_something_else(status, verdict, body):
    assert type(read_create_answer(Answer(status, body))) is verdict


@pytest.mark.parametrize("should_retry", [True, False, None])
@pytest.mark.parametrize("status", [408, 409, 500, 503])
def test_no_header_makes_a_doubt_safe(status, should_retry):
    answer = Answer(status, HTML, should_retry=should_retry, retry_after=1.0)
    assert type(read_create_answer(answer)) is CreateAmbiguous


@pytest.mark.parametrize("should_retry", [True, None])
def test_no_header_makes_a_refusal_repeatable(should_retry):
    answer = Answer(400, api(), should_retry=should_retry)
    assert type(read_create_answer(answer)) is CreateRefused


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize("word", ["queued", "in_progress", "completed", "failed", "pending"])
def test_an_accepted_create(status, word):
    body = orjson.dumps({"id": "caresp_1", "status": word})
    read = read_create_answer(Answer(status, body, server_request_id="req_1"))
    assert isinstance(read, CreateAccepted)
    assert (read.response.id, read.response.status_text) == ("caresp_1", word)
    assert (read.body, read.server_request_id) == (body, "req_1")


def test_an_acceptance_that_was_read_whole_although_the_connection_failed():
    read = read_create_answer(Answer(200, QUEUED, failure=AFTER))
    assert isinstance(read, CreateAccepted)
    assert read.body == QUEUED


@pytest.mark.parametrize("failure", [AFTER, None])
def test_an_acceptance_that_broke_off_after_naming_its_response(failure):
    read = read_create_answer(Answer(200, CUT, failure=failure, server_request_id="req_1"))
    assert isinstance(read, CreateAccepted)
    assert (read.response.id, read.response.status) == ("resp_1", ResponseStatus.UNKNOWN)
    assert (read.body, read.server_request_id) == (b"", "req_1")


def test_an_acceptance_that_broke_off_too_early_is_in_doubt():
    read = read_create_answer(Answer(200, CUT[:12], failure=AFTER, note="ReadError"))
    assert isinstance(read, CreateAmbiguous)
    assert read.error.status == 200
    assert "no JSON" in str(read.error)
    assert "ReadError" in str(read.error)


def test_an_error_with_status_200_is_in_doubt_and_told():
    read = read_create_answer(Answer(200, api("server_error", message="Oh.")))
    assert isinstance(read, CreateAmbiguous)
    assert read.error.code == "server_error"
    assert "Oh." in str(read.error)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (400, CreateRefusedForNow),
        (404, CreateRefusedForNow),
        (401, CreateParked),
        (429, CreateRefusedForNow),
        (500, CreateAmbiguous),
        (503, CreateAmbiguous),
    ],
)
def test_a_refusal_that_broke_off_counts_by_its_status(status, verdict):
    assert type(read_create_answer(Answer(status, b'{"err', failure=AFTER))) is verdict


def test_a_create_that_did_not_leave():
    read = read_create_answer(Answer(failure=NOT_SENT, note="ConnectError: refused"))
    assert isinstance(read, CreateNotSent)
    assert isinstance(read.error, EndpointUnreachable)
    assert "ConnectError: refused" in str(read.error)


@pytest.mark.parametrize("failure", [AFTER, None])
def test_a_create_without_an_answer_is_in_doubt(failure):
    read = read_create_answer(Answer(failure=failure))
    assert isinstance(read, CreateAmbiguous)
    assert read.error.status is None


def test_an_error_carries_the_facts():
    body = api("rate_limit_exceeded", type="tokens", param="model", message="Slow,\nplease.")
    answer = Answer(
        429, body, server_request_id="req_1", client_request_id="try-1", retry_after=86_400.0
    )
    error = read_create_answer(answer).error
    assert (error.status, error.type, error.code) == (429, "tokens", "rate_limit_exceeded")
    assert (error.param, error.retry_after) == ("model", 86_400.0)
    assert (error.server_request_id, error.client_request_id) == ("req_1", "try-1")
    assert str(error) == (
        "The API took nothing and asks to wait: a rate limit, a lock, or no capacity. "
        "(HTTP 429: tokens, rate_limit_exceeded, model: Slow, please.)"
    )


def test_an_error_without_facts_is_its_first_sentence():
    assert str(read_create_answer(Answer()).error) == str(AnswerAmbiguous())


# --- retrieve -------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["queued", "completed", "cancelled", "pending"])
def test_a_response_that_was_read(word):
    body = orjson.dumps({"id": "resp_1", "status": word})
    read = read_retrieve_answer(Answer(200, body))
    assert isinstance(read, Seen)
    assert (read.response.status_text, read.body) == (word, body)


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("body", [api(), b'{"detail":"Not Found"}', b'{"error":"gone"}'])
def test_a_response_that_the_api_does_not_know(status, body):
    assert isinstance(read_retrieve_answer(Answer(status, body)), Gone)


@pytest.mark.parametrize("body", [HTML, b"", b"404 page not found", b'{"err'])
def test_a_404_that_the_api_did_not_write_says_nothing(body):
    read = read_retrieve_answer(Answer(404, body))
    assert isinstance(read, TryLater)
    assert isinstance(read.error, AnswerUnreadable)


@pytest.mark.parametrize("status", [401, 403, 407])
def test_credentials_that_may_not_read(status):
    read = read_retrieve_answer(Answer(status, api()))
    assert isinstance(read, RetrieveParked)
    assert isinstance(read.error, CredentialsRefused)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(failure=NOT_SENT), EndpointUnreachable),
        (Answer(failure=AFTER), AnswerUnreadable),
        (Answer(), AnswerUnreadable),
        (Answer(200, b'{"id":"resp'), AnswerUnreadable),
        (Answer(200, CUT, failure=AFTER), AnswerUnreadable),
        (Answer(200, HTML), AnswerUnreadable),
        (Answer(200, b""), AnswerUnreadable),
        (Answer(200, api("server_error")), AnswerUnreadable),
        (Answer(307, b""), AnswerUnreadable),
        (Answer(408, api()), AnswerUnreadable),
        (Answer(425, api()), AnswerUnreadable),
        (Answer(429, api("rate_limit_exceeded")), RefusedForNow),
        (Answer(429, b"slow"), RefusedForNow),
        (Answer(429, api("insufficient_quota")), RefusedForNow),
        (Answer(500, api()), AnswerUnreadable),
        (Answer(502, HTML), AnswerUnreadable),
        (Answer(503, api("slow_down")), AnswerUnreadable),
        (Answer(504, b""), AnswerUnreadable),
        (Answer(400, api()), RequestRefused),
        (Answer(405, b'{"detail":"Method Not Allowed"}'), RequestRefused),
        (Answer(501, api()), RequestRefused),
        (Answer(400, HTML), AnswerUnreadable),
    ],
)
def test_a_retrieve_that_says_nothing_of_the_response(answer, error):
    read = read_retrieve_answer(answer)
    assert isinstance(read, TryLater)
    assert type(read.error) is error


def test_a_retrieve_waits_as_long_as_it_was_told():
    assert read_retrieve_answer(Answer(429, b"", retry_after=7200.0)).wait == 7200
    assert read_retrieve_answer(Answer(503, b"")).wait is None


# --- cancel ---------------------------------------------------------------------------------------


def test_a_cancel_that_was_taken():
    read = read_cancel_answer(Answer(200, b'{"id":"resp_1","status":"cancelled"}'))
    assert isinstance(read, CancelTaken)
    assert read.response.status is ResponseStatus.CANCELLED


@pytest.mark.parametrize("answer", [Answer(200, b""), Answer(202, HTML), Answer(200, CUT)])
def test_a_cancel_that_was_taken_in_words_that_cannot_be_read(answer):
    assert read_cancel_answer(answer) == CancelTaken(None)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RequestRefused),
        (401, CredentialsRefused),
        (403, CredentialsRefused),
        (405, RequestRefused),
        (409, RequestRefused),
        (422, RequestRefused),
        (501, RequestRefused),
    ],
)
def test_a_cancel_that_was_refused(status, error):
    read = read_cancel_answer(Answer(status, api(message="Cannot cancel.")))
    assert isinstance(read, CancelRefused)
    assert type(read.error) is error
    assert "Cannot cancel." in str(read.error)


def test_a_cancel_of_what_the_api_does_not_know():
    assert isinstance(read_cancel_answer(Answer(404, api())), Gone)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(failure=NOT_SENT), EndpointUnreachable),
        (Answer(failure=AFTER), AnswerUnreadable),
        (Answer(302, b""), AnswerUnreadable),
        (Answer(404, HTML), AnswerUnreadable),
        (Answer(408, api()), AnswerUnreadable),
        (Answer(429, api()), RefusedForNow),
        (Answer(500, api()), AnswerUnreadable),
        (Answer(503, HTML), AnswerUnreadable),
    ],
)
def test_a_cancel_of_unknown_effect(answer, error):
    read = read_cancel_answer(answer)
    assert isinstance(read, CancelUnknown)
    assert type(read.error) is error


# --- anything -------------------------------------------------------------------------------------

ANSWERS = st.builds(
    Answer,
    status=st.none() | st.integers(100, 599),
    body=st.binary(max_size=60) | st.sampled_from([QUEUED, CUT, api(), HTML]),
    failure=st.none() | st.sampled_from(TransportFailure),
    retry_after=st.none() | st.floats(0, 1e9),
)


@given(ANSWERS)
def test_any_answer_has_a_meaning_and_a_doubtful_create_is_never_called_safe(answer):
    read = read_create_answer(answer)
    if answer.status is not None and answer.status // 100 == 5 and answer.status != 503:
        assert isinstance(read, CreateAmbiguous)
    if isinstance(read, CreateNotSent):
        assert (answer.status, answer.failure) == (None, NOT_SENT)
    read_retrieve_answer(answer)
    read_cancel_answer(answer)


def test_what_models_wrote_is_in_no_repr():
    body = b'{"id":"resp_1","status":"completed","output":"secret plan"}'
    for read in (read_create_answer, read_retrieve_answer, read_cancel_answer):
        assert "secret plan" not in repr(read(Answer(200, body)))
    assert "secret plan" not in repr(Answer(200, body))
