"""Squid as an accelerator, with a cache in RAM and one on disk."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import machine
from benchmarks.peers.peer import Absent, Server, free_port, program, spawn, tail, wait_until_open

# The largest object is told before the directory, which takes it from there. read_ahead_gap is how far a fill
# may be ahead of the fastest client: at its 16 KB by default a large body would come in small steps. aufs is
# the store for large objects (rock is meant for small ones). Ranges that pass through are not collapsed: such
# a request may be given another's range. No log, no helper that is not needed.
_CONFIGURATION = """\
{account}http_port 127.0.0.1:{port} accel no-vhost defaultsite={origin_host}:{origin_port}
cache_peer {origin_host} parent {origin_port} 0 no-query no-digest no-netdb-exchange originserver name=origin
cache_peer_access origin allow all
never_direct allow all
http_access allow all
collapsed_forwarding on
read_ahead_gap 1 MB
{ranges}cache_mem {ram_bytes} bytes
maximum_object_size_in_memory 1100 KB
maximum_object_size {disk_megabytes} MB
cache_dir aufs {directory}/cache {disk_megabytes} 16 256
read_timeout {patience} seconds
persistent_request_timeout 300 seconds
client_lifetime 1 day
max_filedescriptors 8192
access_log none
cache_store_log none
cache_log {directory}/cache.log
pid_filename {directory}/squid.pid
coredump_dir {directory}
netdb_filename none
digest_generation off
client_db off
pinger_enable off
icp_port 0
snmp_port 0
visible_hostname localhost
shutdown_lifetime 0 seconds
"""


_WHOLE = "range_offset_limit none\n"
_PASSED = """\
acl ranged req_header Range .
collapsed_forwarding_access deny ranged
"""


@dataclass(frozen=True, slots=True)
class Squid:
    """`ram_bytes` is the cache in RAM, 0 for none. `is_whole` has a range of what is not stored fetch the
    whole body; else it passes through and is not stored."""

    ram_bytes: int = 256 << 20
    storage_bytes: int = 20 << 30
    patience_seconds: int = 60
    is_whole: bool = False
    name: str = "squid"

    @property
    def method(self) -> str:
        ranges = (
            "range_offset_limit none (a range of what is not stored fetches the whole body)"
            if self.is_whole
            else "a range of what is not stored passes through and is not stored, its default (and is not "
            "collapsed, which would give it others' ranges)"
        )
        return (
            f"{self.name}: accelerator, {self.ram_bytes >> 20} MiB cache_mem for objects up to 1 MiB, aufs "
            "cache_dir, one process, collapsed_forwarding, read_ahead_gap 1 MB, maximum_object_size of the "
            f"whole store, {ranges}"
        )

    def refuses(self, size: int) -> str:
        return "" if size * 1.1 <= self.storage_bytes else "its storage is smaller than the body"

    def start(self, directory: Path, origin: str) -> Server:
        executable = program("squid")
        port = free_port()
        directory.mkdir(parents=True, exist_ok=True)
        account = _account()
        if account:
            shutil.chown(directory, account)
        file, log = directory / "squid.conf", directory / "log"
        address = urlsplit(origin)
        file.write_text(
            _CONFIGURATION.format(
                directory=directory,
                account=f"cache_effective_user {account}\n" if account else "",
                port=port,
                origin_host=address.hostname,
                origin_port=address.port,
                ranges=_WHOLE if self.is_whole else _PASSED,
                ram_bytes=self.ram_bytes,
                disk_megabytes=self.storage_bytes >> 20,
                patience=self.patience_seconds,
            )
        )
        command = [executable, "-N", "-n", f"bench{port}", "-f", str(file)]
        if not (directory / "cache").exists():
            _lay_out(command, log)
        process = spawn(command, log)
        return wait_until_open(Server(self.name, f"http://127.0.0.1:{port}", process), log)


def _lay_out(command: list[str], log: Path) -> None:
    """Make the directories of the store. Raises Absent."""
    with log.open("ab") as output:
        made = subprocess.run(
            [*command, "-z"],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
            preexec_fn=lambda: machine.pin(machine.server_core()),
        )
    if made.returncode:
        raise Absent(f"squid could not lay out its store: {tail(log)}")


def _account() -> str:
    """Whom Squid is to become, "" for nobody else: it refuses to serve as root. Raises Absent."""
    if os.geteuid():
        return ""
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("proxy", "squid", "nobody"):
        if name in known:
            return name
    raise Absent("squid does not serve as root, and there is no account proxy, squid or nobody")
