"""Hosts that pages link to, and what a restart leaves of them."""

from __future__ import annotations

from pathlib import Path

from edgeproxy.errors import StorageError
from edgeproxy.sites.python_link_hosts import HOSTS_MAX, LinkHosts
from edgeproxy.sites.python_links import LinkRules
from edgeproxy.storage.ledger import Ledger
from edgeproxy.upstream.upstream import Origin

INDEX = Origin("https", "index.example", 443)
URL = "https://index.example/simple/"
FILES = Origin("https", "files.example", 443)
RULES = LinkRules(INDEX, private=False)


def book(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "owners" / "pypi hosts", print)


def host(number: int) -> Origin:
    return Origin("https", f"h{number}.example", 443)


def test_what_was_noted_is_known_after_a_restart_and_to_no_other_index(tmp_path: Path) -> None:
    hosts = LinkHosts(RULES, book(tmp_path), URL)
    assert FILES not in hosts
    hosts.note([FILES])
    assert FILES not in hosts  # nobody has been told yet
    hosts.learn([FILES])
    assert FILES in hosts
    assert FILES in LinkHosts(RULES, book(tmp_path), URL)
    assert FILES not in LinkHosts(RULES, book(tmp_path), "https://other.example/simple/")


def test_hosts_of_the_configuration_are_not_written_down(tmp_path: Path) -> None:
    rules = LinkRules(INDEX, private=False, configured=frozenset({FILES}))
    LinkHosts(rules, book(tmp_path), URL).note([FILES, INDEX])
    assert book(tmp_path).read() == {}


def test_a_host_is_written_down_once(tmp_path: Path) -> None:
    for _ in range(2):
        hosts = LinkHosts(RULES, book(tmp_path), URL)
        hosts.note([FILES])
        hosts.note([FILES])
    assert (tmp_path / "owners" / "pypi hosts").read_bytes().count(b"files.example") == 1


def test_what_the_rules_of_today_do_not_believe_is_left_out(tmp_path: Path) -> None:
    ledger = book(tmp_path)
    for url in ("http://plain.example", "https://192.0.2.1", "https://odd.example:8443", "junk", FILES.url):
        ledger.add(url, URL)
    assert LinkHosts(RULES, ledger, URL).all == (FILES,)
    named_only = LinkRules(INDEX, private=False, learn=False)
    assert LinkHosts(named_only, ledger, URL).all == ()


def test_the_oldest_is_forgotten_first_and_the_ledger_has_an_end(tmp_path: Path) -> None:
    hosts = LinkHosts(RULES, book(tmp_path), URL)
    many = [host(number) for number in range(HOSTS_MAX + 1)]
    hosts.learn(many)
    hosts.note(many)
    assert host(0) not in hosts
    assert host(1) in hosts
    assert len(book(tmp_path).read()) == HOSTS_MAX


def test_a_ledger_that_cannot_be_read_costs_what_it_told() -> None:
    class Broken:
        def read(self) -> dict[str, str]:
            raise StorageError("the disk is dying")

        def add(self, name: str, value: str) -> None:
            return None

    hosts = LinkHosts(RULES, Broken(), URL)
    hosts.learn([FILES])
    assert hosts.all == (FILES,)
