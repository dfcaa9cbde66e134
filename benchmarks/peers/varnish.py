"""Varnish with storage in a file or in RAM, and the documented handling of ranges."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.peers.peer import Server, free_port, program, spawn, wait_until_open

# The built-in rules follow: on a miss the Range is taken out of the request to the origin, the whole body is
# fetched and streamed, and each client is given its range out of it.
_RULES = """\
vcl 4.1;
backend origin {{
  .host = "{host}";
  .port = "{port}";
  .first_byte_timeout = {patience}s;
  .between_bytes_timeout = {patience}s;
}}
"""


# Access logs are off everywhere; what each request would write into the log in shared memory is masked.
_UNLOGGED = (
    "Begin,End,Hit,Length,Link,ReqAcct,ReqHeader,ReqMethod,ReqProtocol,ReqStart,ReqUnset,ReqURL,RespHeader,"
    "RespProtocol,RespReason,RespStatus,RespUnset,Timestamp,VCL_call,VCL_return"
)


@dataclass(frozen=True, slots=True)
class Varnish:
    """`storage_bytes` of disk are taken at the start; `ram_bytes` of RAM instead of them unless 0."""

    ram_bytes: int = 0
    storage_bytes: int = 2 << 30
    patience_seconds: int = 60
    name: str = "varnish"

    @property
    def method(self) -> str:
        where = (
            f"malloc storage of {self.ram_bytes >> 20} MiB"
            if self.ram_bytes
            else f"file storage of {self.storage_bytes >> 20} MiB in the page cache"
        )
        return (
            f"{self.name}: {where} (gone with the process), streaming, built-in "
            "rules (a miss fetches the whole body, a range is cut out of it), one pool of threads, requests "
            "are not logged"
        )

    def refuses(self, size: int) -> str:
        # Space for the body and for what the allocator of file storage cannot use.
        return (
            ""
            if size * 1.1 <= (self.ram_bytes or self.storage_bytes)
            else "its storage is smaller than the body"
        )

    def start(self, directory: Path, origin: str) -> Server:
        executable = program("varnishd")
        port = free_port()
        directory.mkdir(parents=True, exist_ok=True)
        rules, log = directory / "rules.vcl", directory / "log"
        address = urlsplit(origin)
        rules.write_text(
            _RULES.format(host=address.hostname, port=address.port, patience=self.patience_seconds)
        )
        storage = (
            f"malloc,{self.ram_bytes}"
            if self.ram_bytes
            else f"file,{shlex.quote(str(directory / 'storage'))},{self.storage_bytes}"
        )
        options = (
            f"-F -n {shlex.quote(str(directory / 'work'))} -f {shlex.quote(str(rules))} "
            f"-a 127.0.0.1:{port} -T none -j none "
            f"-s {storage} "
            "-p thread_pools=1 -p thread_pool_min=300 -p thread_pool_max=1000 "
            f"-p vsl_mask={','.join('-' + tag for tag in _UNLOGGED.split(','))} "
            "-p timeout_idle=300 -p send_timeout=300 -p idle_send_timeout=300"
        )
        process = spawn([executable, *shlex.split(options)], log)
        return wait_until_open(Server(self.name, f"http://127.0.0.1:{port}", process), log)
