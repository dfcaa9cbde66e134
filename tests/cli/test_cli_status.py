import json
from typing import Any

STATUS = {
    "node": {"name": "edge-1", "uptime_seconds": 7200, "offline": False},
    "traffic": [{"site": "pypi", "requests": 12345, "hit_ratio": 0.875, "client_bytes": 3 << 30}],
}


def test_status_is_a_table_for_people(run: Any, admin: Any) -> None:
    admin.says(STATUS)
    ended = run("status", "--admin", admin.address)
    assert ended.code == 0
    for words in ("edge-1", "7,200 s", "12,345", "87.5 %", "3.0 GiB"):
        assert words in ended.out


def test_status_is_json_on_request(run: Any, admin: Any) -> None:
    admin.says(STATUS)
    assert json.loads(run("status", "--json", "--admin", admin.address).out) == STATUS


def test_the_address_and_token_come_from_the_configuration(run: Any, admin: Any) -> None:
    admin.says(STATUS)
    ended = run("status", "--set", f"admin.listen={admin.address}", "--set", "admin.token=secret")
    assert ended.code == 0
    assert admin.asked == [("GET", "/api/v1/status", "Bearer secret", b"")]
