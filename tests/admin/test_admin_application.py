"""Who is refused, and what becomes of trouble."""

from typing import Any

import aiohttp


async def ask(method: str, url: str, **options: Any) -> tuple[int, Any, Any]:
    async with aiohttp.ClientSession() as session, session.request(method, url, **options) as answer:
        is_json = answer.content_type == "application/json"
        return answer.status, await (answer.json() if is_json else answer.text()), answer.headers


async def test_with_a_token_everything_but_health_and_readiness_needs_it(start: Any) -> None:
    running = await start(token="right")
    for path in ("/metrics", "/api/v1/status", "/api/v1/explain?url=/x", "/absent"):
        status, content, fields = await ask("GET", running.url + path)
        assert (status, fields["WWW-Authenticate"]) == (401, "Bearer")
        assert "token" in content["error"]
        wrong = await ask("GET", running.url + path, headers={"Authorization": "Bearer wrong"})
        assert wrong[0] == 401
    right = await ask("GET", f"{running.url}/api/v1/status", headers={"Authorization": "Bearer right"})
    assert right[0] == 200
    for path in ("/healthz", "/readyz"):
        assert (await ask("GET", running.url + path))[0] == 200


async def test_a_foreign_host_is_refused_everywhere(start: Any) -> None:
    running = await start()
    for path in ("/healthz", "/readyz", "/metrics", "/api/v1/status"):
        status, content, _ = await ask("GET", running.url + path, headers={"Host": "attacker.example"})
        assert status == 403
        assert "Host" in content["error"]


async def test_a_post_from_another_origin_changes_nothing(start: Any) -> None:
    running = await start()
    for fields in (
        {"Origin": "http://attacker.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        status, *_ = await ask("POST", f"{running.url}/api/v1/purge", json={"scope": "all"}, headers=fields)
        assert status == 403
    assert running.node.purges == []
    same = {"Origin": running.url, "Sec-Fetch-Site": "same-origin"}
    assert (await ask("POST", f"{running.url}/api/v1/purge", json={"scope": "all"}, headers=same))[0] == 200
    assert len(running.node.purges) == 1


async def test_unknown_paths_and_methods_are_json_errors(start: Any) -> None:
    running = await start()
    status, content, _ = await ask("GET", f"{running.url}/absent")
    assert (status, content) == (404, {"error": "Not Found"})
    status, content, fields = await ask("GET", f"{running.url}/api/v1/purge")
    assert (status, fields["Allow"]) == (405, "POST")


async def test_a_fault_of_ours_is_reported_and_not_told_to_the_client(start: Any) -> None:
    running = await start()
    running.node.fault = fault = RuntimeError("secret detail")
    status, content, _ = await ask("GET", f"{running.url}/api/v1/status")
    assert status == 500
    assert "secret" not in content["error"]
    assert running.faults == [fault]
