"""What does the forward proxy cost: a tunnel against a direct connection, idle tunnels, and handshakes as
another host against those of nginx?"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import socket
import ssl
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import machine
from benchmarks.origin import Origin
from benchmarks.peers import Absent, Edgeproxy, Nginx, Server
from benchmarks.report import Comparison, Limit, Plot, Result, Series, Table, median, spread
from benchmarks.running import scratch
from edgeproxy.proxy.authority import keep, make
from edgeproxy.proxy.leaves import Leaves
from edgeproxy.serving.self_signed import make as self_signed

BODY = 1 << 30
PIECE = 1 << 20
IDLE = 1000
HANDSHAKES = 1500  # about a second of processor time, which is counted in hundredths
THROUGHPUT, IDLE_BYTES, MINT_MS, SHAKES = 0.7, 60e6, 5.0, 0.5
NAME = "answered.example"
PROXIED, PLAIN = "edgeproxy, CONNECT before each", "edgeproxy, listen.https"

_MORE = """
[proxy]
private_addresses = true
ports = {ports}
ca = {ca}
[[site]]
name = "answered"
mount = "/answered"
origin = "https://{name}"
"""


def _source(ready: multiprocessing.connection.Connection) -> None:
    """Gives BODY bytes to whoever connects and sends a byte; keeps silent to others."""
    machine.pin(machine.load_core())
    data, held = bytes(PIECE), []
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
        ready.send(listening.getsockname()[1])
        while True:
            connected, _ = listening.accept()
            connected.settimeout(0.02)
            try:
                asks = connected.recv(1)
            except TimeoutError:
                asks = b""
            if not asks:
                held.append(connected)
                continue
            connected.settimeout(60)
            with contextlib.suppress(OSError), connected:
                for _ in range(BODY // PIECE):
                    connected.sendall(data)


@contextlib.contextmanager
def _running() -> Iterator[int]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_source, args=(theirs,), daemon=True)
    process.start()
    try:
        yield int(ours.recv())
    finally:
        process.kill()
        process.join()


def _connect(proxy: str, authority: str) -> socket.socket:
    """A connection that has become a tunnel. Raises OSError."""
    place = urlsplit(proxy)
    connected = socket.create_connection((place.hostname or "", place.port or 80), 30)
    connected.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        piece = connected.recv(1)
        if not piece:
            raise ConnectionError(answer.decode("latin-1"))
        answer += piece
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise ConnectionError(answer.decode("latin-1"))
    return connected


def _read(connected: socket.socket) -> float:
    """Bytes a second of the whole body. Raises OSError when it does not come whole."""
    buffer, got, begun = bytearray(PIECE), 0, time.perf_counter()
    with connected:
        connected.sendall(b"x")
        while got < BODY:
            count = connected.recv_into(buffer)
            if not count:
                raise ConnectionError(f"the end after {got} bytes")
            got += count
    return got / (time.perf_counter() - begun)


def _throughput(server: Server, port: int, rounds: int, result: Result) -> None:
    rates: dict[str, list[float]] = {"direct": [], "tunnel": []}
    for _ in range(rounds):
        rates["direct"].append(_read(socket.create_connection(("127.0.0.1", port), 30)))
        rates["tunnel"].append(_read(_connect(server.url, f"127.0.0.1:{port}")))
    rows = [[name, spread([rate / 1e6 for rate in found])] for name, found in rates.items()]
    result.tables.append(Table(["connection", "MB/s"], rows, "One stream of 1 GiB"))
    got = median([t / d for t, d in zip(rates["tunnel"], rates["direct"], strict=True)])
    limit = f">= {THROUGHPUT:g}x"
    result.limits.append(Limit("tunnel against direct", limit, f"{got:.2f}x", got >= THROUGHPUT))
    result.data["throughput"] = rates
    samples = result.data.setdefault("samples", {})
    samples |= {f"{name} stream MB/s": [rate / 1e6 for rate in found] for name, found in rates.items()}


def _idle(server: Server, port: int, result: Result) -> None:
    before = server.memory_bytes()
    held = [_connect(server.url, f"127.0.0.1:{port}") for _ in range(IDLE)]
    time.sleep(1.0)
    grown = server.memory_bytes() - before
    for one in held:
        one.close()
    rows = [[str(IDLE), f"{grown / 1e6:.1f}", f"{grown / IDLE / 1e3:.1f}"]]
    result.tables.append(Table(["idle tunnels", "memory MB beyond the idle node", "KB each"], rows))
    what = f"{IDLE} idle tunnels"
    result.limits.append(
        Limit(what, f"< {IDLE_BYTES / 1e6:g} MB", f"{grown / 1e6:.1f} MB", grown < IDLE_BYTES)
    )
    result.data["idle_bytes"] = grown


def _minting(ca: Path, result: Result) -> None:
    authority = make(time.time())
    keep(ca, authority)
    leaves = Leaves(authority, lambda _: None)
    times = []
    for number in range(50):
        begun = time.perf_counter()
        leaves.context(f"{number}.example", time.time())
        times.append(1000 * (time.perf_counter() - begun))
    got = statistics.median(times)
    result.tables.append(Table(["certificates made", "ms each"], [["50", spread(times, ".2f")]]))
    result.limits.append(Limit("a certificate, once", f"<= {MINT_MS:g} ms", f"{got:.2f} ms", got <= MINT_MS))
    result.data["minting_ms"] = times


def _shake(server: Server, context: ssl.SSLContext, *, is_proxy: bool) -> float:
    """Handshakes for each second of the server's processor time, one after the other."""
    place = urlsplit(server.url if is_proxy else server.secure_url)
    used = server.cpu_seconds()
    for _ in range(HANDSHAKES):
        if is_proxy:
            connected = _connect(server.url, f"{NAME}:443")
        else:
            connected = socket.create_connection((place.hostname or "", place.port or 443), 30)
        with connected, context.wrap_socket(connected, server_hostname=NAME):
            pass
    return HANDSHAKES / (server.cpu_seconds() - used)


def _handshakes(ours: Server, theirs: Server, ca: Path, rounds: int, result: Result) -> None:
    trusting = ssl.create_default_context(cafile=str(ca / "ca.pem"))
    anybody = ssl._create_unverified_context()
    rates: dict[str, list[float]] = {PROXIED: [], PLAIN: [], "nginx": []}
    for _ in range(rounds):
        rates[PROXIED].append(_shake(ours, trusting, is_proxy=True))
        rates["nginx"].append(_shake(theirs, anybody, is_proxy=False))
        rates[PLAIN].append(_shake(ours, anybody, is_proxy=False))
    rows = [[name, spread(found)] for name, found in rates.items()]
    columns = ["server", "handshakes for each second of its processor"]
    result.tables.append(Table(columns, rows, "Full handshakes, ECDSA P-256"))
    got = median([o / t for o, t in zip(rates[PROXIED], rates["nginx"], strict=True)])
    limit = f">= {SHAKES:g}x"
    what = "handshakes with a CONNECT before each, against nginx without"
    result.limits.append(Limit(what, limit, f"{got:.2f}x", got >= SHAKES))
    result.data["handshakes"] = rates
    unit = "a second of processor time"
    for what, name in (("proxied TLS handshakes", PROXIED), ("TLS handshakes", PLAIN)):
        figures = median(rates[name]), median(rates["nginx"])
        result.comparisons.append(Comparison(what, *figures, "nginx", unit))
    samples = result.data.setdefault("samples", {})
    samples |= {f"{name} handshakes by processor time /s": found for name, found in rates.items()}
    series = [Series("", [(name, median(found)) for name, found in rates.items()])]
    result.plots.append(Plot("TLS handshakes", "bars", "server", unit, series))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--dry", action="store_true", help="print only, leave results and README.md alone")
    options = parser.parse_args()
    machine.pin(machine.load_core())
    result = Result(
        "tunnels",
        "What does the forward proxy cost?",
        [
            f"{options.rounds} interleaved rounds. The node is on one core; whoever sends and whoever reads "
            "share the other, with and without the node between them.",
            f"Idle: {IDLE} tunnels opened one after the other, nothing sent; memory is VmRSS a second later.",
            f"Handshakes: {HANDSHAKES} full ones in each round, one after the other, no session taken up; "
            "judged by the server's processor time, since the client is slower than both.",
        ],
    )
    with scratch() as directory, Origin() as origin, _running() as port, contextlib.ExitStack() as stack:
        ca = directory / "ca"
        _minting(ca, result)
        more = _MORE.format(ports=json.dumps([80, 443, port]), ca=json.dumps(str(ca)), name=NAME)
        key, certificate = self_signed([NAME], time.time())
        pem = directory / "certificate.pem"
        pem.write_bytes(certificate + key)
        ours = Edgeproxy(more=more, certificate=str(pem)).start(directory / "edgeproxy", origin.url)
        stack.callback(ours.stop)
        _throughput(ours, port, options.rounds, result)
        _idle(ours, port, result)
        try:
            theirs = Nginx(certificate=str(pem)).start(directory / "nginx", origin.url)
        except Absent as why:
            result.skipped.append(f"nginx: {why}")
        else:
            stack.callback(theirs.stop)
            _handshakes(ours, theirs, ca, options.rounds, result)
    result.finish(options.dry)


if __name__ == "__main__":
    main()
