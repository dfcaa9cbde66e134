"""Counting. Plain integers that cost a dictionary look-up; the admin listener turns them into
Prometheus text when it is asked.

Label values come from configuration and closed sets, never from bytes of a client or an upstream:
otherwise anybody could grow the table."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """What a name means: one line of help, and the names of its labels."""

    help: str
    labels: tuple[str, ...] = ()


COUNTERS: dict[str, Metric] = {
    "requests_total": Metric("Answered requests", ("site", "cache", "status")),
    "client_bytes_total": Metric("Content bytes sent to clients", ("site",)),
    "client_aborts_total": Metric("Clients that left before the end of their answer"),
    "bad_requests_total": Metric("Requests refused for their form", ("status",)),
    "connections_total": Metric("Accepted connections"),
    "connections_refused_total": Metric("Connections closed at a limit", ("limit",)),
    "tls_handshakes_total": Metric("Finished TLS handshakes", ("version",)),
    "tls_handshake_failures_total": Metric("TLS handshakes that failed", ("reason",)),
    "tls_reloads_total": Metric("Certificates read again", ("end",)),
    "tunnels_total": Metric("Tunnels that are over", ("end",)),
    "tunnel_bytes_total": Metric("Bytes of tunnels that are over", ("direction",)),
    "proxy_refusals_total": Metric("CONNECT refused, by option or error", ("rule",)),
    "proxy_handshake_failures_total": Metric(
        "TLS handshakes that failed as a host that sites know", ("reason",)
    ),
    "timeouts_total": Metric("Connections ended for lack of progress", ("phase",)),
    "http2_faults_total": Metric("HTTP/2 connections ended with GOAWAY for what the client did", ("code",)),
    "http2_resets_total": Metric("HTTP/2 streams broken off", ("by",)),
    "log_lines_dropped_total": Metric("Access log lines dropped because the log was too slow"),
    "upstream_requests_total": Metric("Requests to upstreams", ("site", "status")),
    "upstream_bytes_total": Metric("Content bytes received from upstreams", ("site",)),
    "candidate_requests_total": Metric("Requests to parents, siblings and origins", ("candidate", "result")),
    "candidate_bytes_total": Metric("Content bytes received from each of them", ("candidate",)),
    "failovers_total": Metric("Requests that went on to another candidate", ("candidate",)),
    "ejections_total": Metric("How often a candidate was taken out of use", ("candidate",)),
    "hedges_total": Metric("Small requests sent to a second candidate as well"),
    "upstream_errors_total": Metric("Failed upstream exchanges", ("site", "error")),
    "fill_resumes_total": Metric("Fills that went on after an exchange broke off", ("site",)),
    "upstream_changed_total": Metric("Fills ended by another representation upstream", ("site",)),
    "upstream_lies_total": Metric("Answers to ranges that were not what was asked for", ("site",)),
    "fills_total": Metric("Ended fills", ("site", "end")),
    "collapsed_total": Metric("Requests that shared another's fill", ("site",)),
    "unacceptable_total": Metric("Answers that a site could not believe", ("site",)),
    "prefetch_total": Metric("Requests of the node's own for what clients will ask next", ("site", "end")),
    "digest_mismatch_total": Metric("Bodies that did not have the digest announced", ("site",)),
    "storage_errors_total": Metric("Failures of the store", ("operation",)),
    "corrupt_total": Metric("Stored responses dropped because they were damaged", ("what",)),
    "quarantined_total": Metric("Wrong bodies set aside"),
    "evictions_total": Metric("Stored responses evicted", ("tier",)),
    "purges_total": Metric("Purges", ("scope",)),
    "followed_total": Metric("Purges of parents that were followed", ("parent", "end")),
    "redirects_total": Metric("Clients sent to a node, or to the origin", ("node", "country")),
    "complaints_total": Metric("Clients that were not served where they were sent", ("node", "how")),
    "passed_total": Metric("Requests that the router passed on to a node", ("node", "result")),
    "forged_total": Metric("Requests refused for a mark or a signature that is not right"),
    "dns_answers_total": Metric("Answers of the DNS router", ("rcode", "transport", "path")),
    "dns_truncated_total": Metric("Answers too large for UDP, so that the client has to use TCP"),
    "dns_limited_total": Metric("Answers held back by the limit on alike ones", ("how",)),
    "dns_subnets_total": Metric("Queries that told of their client's network", ("end",)),
    "dns_ignored_total": Metric("Datagrams and messages that were no queries"),
    "dns_unsent_total": Metric("Answers that the system did not take"),
    "dns_maps_total": Metric("Maps of answers made for the DNS router", ("end",)),
    "task_errors_total": Metric("Background tasks that failed"),
}

HISTOGRAMS: dict[str, Metric] = {
    "request_seconds": Metric("From the request to the last byte of its answer", ("site",)),
    "upstream_head_seconds": Metric("From an upstream request to its response head", ("site",)),
}

GAUGES: dict[str, Metric] = {
    "connections": Metric("Open client connections"),
    "tunnels": Metric("Open tunnels"),
    "tls_handshakes_running": Metric("TLS handshakes under way"),
    "certificate_seconds": Metric("Until the first certificate of the https listeners expires"),
    "fills": Metric("Running fills"),
    "map_age_seconds": Metric("Age of the router's map"),
    "map_nodes": Metric("Nodes of the router's map"),
    "map_nodes_up": Metric("Nodes that take clients"),
    "tasks": Metric("Running background tasks"),
    "memory_bytes": Metric("Bytes held by the RAM tier"),
    "memory_responses": Metric("Stored responses held by the RAM tier"),
    "disk_bytes": Metric("Bytes held by the disk tier"),
    "disk_responses": Metric("Stored responses held by the disk tier"),
    "memo_entries": Metric("Request heads answered without parsing"),
    "dns_map_seconds": Metric("Age of the map that the DNS router answers from"),
}


@dataclass(slots=True)
class Histogram:
    """Observations in cumulative buckets of SECONDS_BUCKETS; `counts` has one more for the rest."""

    counts: list[int]
    sum: float = 0.0


class Metrics:
    """The node's counters. Names are those of the tables above; a wrong name is a KeyError."""

    def __init__(self) -> None:
        self.counters: dict[str, dict[tuple[str, ...], int]] = {name: {} for name in COUNTERS}
        self.histograms: dict[str, dict[tuple[str, ...], Histogram]] = {n: {} for n in HISTOGRAMS}
        self.gauges: dict[str, Callable[[], float]] = {}
        self.unsettled: list[Callable[[], None]] = []  # bring counts up to date before they are read

    def count(self, name: str, *labels: str, by: int = 1) -> None:
        values = self.counters[name]
        values[labels] = values.get(labels, 0) + by

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        histograms = self.histograms[name]
        histogram = histograms.get(labels)
        if histogram is None:
            histogram = histograms[labels] = Histogram([0] * (len(SECONDS_BUCKETS) + 1))
        histogram.counts[bisect_left(SECONDS_BUCKETS, seconds)] += 1
        histogram.sum += seconds

    def settle(self) -> None:
        """Have everything counted that is counted in bulk. Readers call it first."""
        for settle in self.unsettled:
            settle()

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """Register where a gauge of the table is read when asked for."""
        if name not in GAUGES:
            raise KeyError(name)
        self.gauges[name] = read

    def value(self, name: str, *labels: str) -> int:
        self.settle()
        return self.counters[name].get(labels, 0)
