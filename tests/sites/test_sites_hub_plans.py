from __future__ import annotations

import json

import pytest
from hub_stage import COMMIT, SHA1, SHA256

from edgeproxy import config
from edgeproxy.message import Headers, Response
from edgeproxy.sites.hub_answers import Rewriting
from edgeproxy.sites.hub_facts import NOBODY, Caller
from edgeproxy.sites.hub_names import File, Repo
from edgeproxy.sites.hub_plans import HubPlans, transform_json, without_xet
from edgeproxy.sites.hub_rules import hub_rules
from edgeproxy.sites.hub_settings import hub
from edgeproxy.sites.hub_tree import Entry
from edgeproxy.sites.site import Plan, SiteContext, Unacceptable

REPO = Repo("datasets", "acme/d")
FILE = File(REPO, "resolve", COMMIT, "a b")
LARGE = Entry("a b", False, bytes.fromhex(SHA1), 9, bytes.fromhex(SHA256), 134)
HERE = Rewriting("https://hub.example", "http://edge/hf", "/hf", strips_xet=True)
ALICE = Caller("Bearer hf_alice", "0123")
JSON = Headers((("Content-Type", "application/json"),))


@pytest.fixture
def plans(context: SiteContext) -> HubPlans:
    settings = config.Site(name="hf", kind="huggingface", endpoint="https://hub.example/up")
    return HubPlans(hub(settings, context), hub_rules(settings, context), lambda _: None)


def test_private_bytes_have_a_key_that_all_who_may_read_them_share(plans: HubPlans) -> None:
    for caller, suffix in ((NOBODY, ""), (ALICE, " private"), (Caller("Bearer hf_x", "9"), " private")):
        plan = plans.file(FILE, LARGE, caller, HERE)
        assert plan.key == f"https://hub.example/up/datasets/acme/d/resolve/{COMMIT}/a%20b{suffix}"
        assert plan.fields["Authorization"] == (caller.authorization or None)
        assert plan.fields["Accept"] == "*/*"
        assert plan.rules.immutable
        assert plan.finish_without_readers


def test_what_one_caller_is_told_of_a_repository_is_kept_apart(plans: HubPlans) -> None:
    alone = plans.metadata("/api/x", REPO, ALICE, HERE, limited=False, strips=True)
    shared = plans.metadata("/api/x", REPO, NOBODY, HERE, limited=False, strips=True)
    assert (alone.key_suffix, shared.key_suffix) == (" for=0123", "")


def test_while_the_hub_is_left_alone_only_the_store_answers(plans: HubPlans) -> None:
    for plan in (
        plans.metadata("/api/x", REPO, NOBODY, HERE, limited=True, strips=True),
        plans.file(FILE, LARGE, NOBODY, HERE, quiet=True),
    ):
        assert (plan.rules.offline, plan.rules.unavailable_status) == (True, 429)


def test_a_file_without_a_known_size_promises_none(plans: HubPlans) -> None:
    plan = plans.file(FILE, LARGE._replace(size=-1), NOBODY, HERE)
    assert plan.expected.size is None
    assert plan.known is not None
    assert "X-Linked-Size" not in plan.known


def test_a_signed_url_is_followed_to_hosts_of_the_hub_only_and_is_in_no_key(plans: HubPlans) -> None:
    url = "https://cdn-lfs.hf.co/repos/x?Signature=s3cret"
    plan = plans.by_url(REPO, url, SHA256, 9, ALICE, HERE)
    assert isinstance(plan, Plan)
    assert plan.origin.host == "cdn-lfs.hf.co"
    assert plan.target == "/repos/x?Signature=s3cret"
    assert plan.fields["Authorization"] is None
    assert "s3cret" not in plan.key
    for elsewhere in (
        "https://evil.example/x",
        "https://evilhf.co/x",
        "file:///x",
        "http://169.254.169.254/",
    ):
        assert isinstance(plans.by_url(REPO, elsewhere, SHA256, 9, ALICE, HERE), Response)


def test_xet_is_taken_out_of_json_at_any_depth_and_other_bytes_stay() -> None:
    told = {"xetEnabled": True, "siblings": [{"rfilename": "x", "xetHash": "e" * 64}], "a": {"xetHash": 1}}
    assert json.loads(without_xet(json.dumps(told).encode())) == {"siblings": [{"rfilename": "x"}], "a": {}}
    assert without_xet(b'{ "a" : 1 }') == b'{ "a" : 1 }'
    with pytest.raises(Unacceptable):
        without_xet(b"<html>")


@pytest.mark.parametrize(
    ("status", "headers"), [(404, JSON), (200, Headers()), (200, JSON.adding([("Content-Encoding", "gzip")]))]
)
def test_what_is_no_plain_json_is_passed_as_it_is(status: int, headers: Headers) -> None:
    assert transform_json(status, headers, b'{"xetHash": 1}') == (headers, b'{"xetHash": 1}')
    assert transform_json(200, JSON, b'{"xetHash": 1}') == (JSON, b"{}")
