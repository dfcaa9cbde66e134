import socket
from typing import Any

import pytest

from edgeproxy.cli.admin_client import AdminClient, Unanswered
from edgeproxy.config import Admin


def test_where_no_node_listens_that_is_said() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(Unanswered, match=f"no node answers at {address}: Connection refused"):
            AdminClient(Admin(listen=address)).get("/api/v1/status")
    with pytest.raises(Unanswered, match="no node answers at unix:/nonexistent"):
        AdminClient(Admin(listen="unix:/nonexistent")).get("/api/v1/status")


def test_something_else_that_answers_is_not_taken_for_a_node(admin: Any) -> None:
    admin.answer = b"<html>"
    with pytest.raises(Unanswered, match="not a node"):
        AdminClient(Admin(listen=admin.address)).get("/")


def test_a_refusal_is_told_with_its_reason(admin: Any) -> None:
    admin.says({"error": "a bearer token is needed"}, status=401)
    with pytest.raises(Unanswered, match="says 401: a bearer token is needed"):
        AdminClient(Admin(listen=admin.address)).get("/")


def test_a_wildcard_is_asked_at_loopback(admin: Any) -> None:
    port = admin.address.rpartition(":")[2]
    assert AdminClient(Admin(listen=f"0.0.0.0:{port}", token="t")).get("/") == {}
    assert admin.asked[0][2] == "Bearer t"
