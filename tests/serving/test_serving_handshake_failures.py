"""Why handshakes fail; what clients see of it is for test_serving_handshakes."""

import ssl

import pytest

from edgeproxy.serving.client_hello import ClientHello
from edgeproxy.serving.handshake_failures import HandshakeFailed, accepted, reason_of, why


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "certificate"),
        ("CERTIFICATE_VERIFY_FAILED", "certificate"),
        ("TLSV1_ALERT_UNKNOWN_CA", "alert"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "alert"),
        ("UNSUPPORTED_PROTOCOL", "version"),
        ("NO_SHARED_CIPHER", "cipher"),
        ("NO_SUITABLE_SIGNATURE_ALGORITHM", "cipher"),
        ("NO_SUITABLE_GROUPS", "cipher"),
        ("LENGTH_MISMATCH", "malformed"),
        (None, "malformed"),
    ],
)
def test_reasons_are_a_closed_set(text: str | None, reason: str) -> None:
    error = ssl.SSLError()
    error.reason = text  # type: ignore[assignment]
    assert reason_of(error) == reason
    assert why(error) == reason


def test_what_the_connection_did_is_told_apart_from_what_the_client_sent() -> None:
    assert why(ConnectionAbortedError()) == "timeout"
    assert why(ConnectionResetError()) == "left"


@pytest.mark.parametrize(("error", "reason"), [(TimeoutError(), "timeout"), (ConnectionResetError(), "left")])
def test_no_handshake_begins_without_a_hello(error: OSError, reason: str) -> None:
    with pytest.raises(HandshakeFailed) as failure:
        accepted(error, None, None, "")  # type: ignore[arg-type]
    assert failure.value.reason == reason
    hello = ClientHello("a.example")
    assert accepted(hello, None, None, "") is hello  # type: ignore[arg-type]
