"""Apache Traffic Server, with its slice plugin where it is installed."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.peer import Absent, Server, free_port, program, spawn, wait_until_open

# One event thread as the others have one worker. Collapsing follows the documented advice against a
# thundering herd: readers share an object that is being written, and wait for its writer to begin.
_RECORDS = """\
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 1
CONFIG proxy.config.exec_thread.affinity INT 0
CONFIG proxy.config.accept_threads INT 0
CONFIG proxy.config.task_threads INT 1
CONFIG proxy.config.cache.threads_per_disk INT 8
CONFIG proxy.config.cache.ram_cache.size INT {ram_bytes}
CONFIG proxy.config.http.server_ports STRING {port}:ip-in=127.0.0.1
CONFIG proxy.config.cache.agg_write_backlog INT 256M
CONFIG proxy.config.http.cache.http INT 1
CONFIG proxy.config.http.cache.required_headers INT 2
CONFIG proxy.config.cache.dir.sync_frequency INT {sync_seconds}
CONFIG proxy.config.cache.enable_read_while_writer INT 1
CONFIG proxy.config.cache.read_while_writer.max_retries INT 10
CONFIG proxy.config.cache.read_while_writer_retry.delay INT 50
CONFIG proxy.config.http.background_fill_active_timeout INT 60
CONFIG proxy.config.http.background_fill_completed_threshold FLOAT 0.0
CONFIG proxy.config.http.cache.max_open_read_retries INT 300
CONFIG proxy.config.http.cache.open_read_retry_time INT 10
CONFIG proxy.config.http.cache.open_write_fail_action INT 5
CONFIG proxy.config.http.transaction_active_timeout_in INT 0
CONFIG proxy.config.http.transaction_no_activity_timeout_in INT 300
CONFIG proxy.config.http.transaction_no_activity_timeout_out INT {patience}
CONFIG proxy.config.http.connect_attempts_max_retries INT 3
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.url_remap.pristine_host_hdr INT 0
CONFIG proxy.config.log.logging_enabled INT 0
CONFIG proxy.config.diags.show_location INT 0
CONFIG proxy.config.net.connections_throttle INT 8000
CONFIG proxy.config.reverse_proxy.enabled INT 1
"""
_FILES = {
    "plugin.config": "",
    "ip_allow.yaml": "ip_allow:\n  - apply: in\n    ip_addrs: 0/0\n    action: allow\n    methods: ALL\n",
}


@dataclass(frozen=True, slots=True)
class TrafficServer:
    """`slice_size` is a size of the plugin's ("1m", "4m"); "" leaves both plugins out. The directory of the
    store is written every `sync_seconds`, 60 by default; what came later is lost with the process."""

    name: str = "trafficserver"
    slice_size: str = ""
    ram_bytes: int = 256 << 20
    storage_bytes: int = 2 << 30
    patience_seconds: int = 60
    sync_seconds: int = 60

    @property
    def method(self) -> str:
        plugins = (
            f"plugins slice ({self.slice_size} blocks) and cache_range_requests"
            if self.slice_size
            else "no plugin (a range of what is not stored passes through)"
        )
        return (
            f"{self.name}: disk cache of {self.storage_bytes >> 20} MiB, {self.ram_bytes >> 20} MiB RAM "
            f"cache, one event thread, read while writer, "
            f"256 MB may wait to be written (by default 5, beyond which nothing is stored), {plugins}"
        )

    def refuses(self, size: int) -> str:
        return "" if size * 1.1 <= self.storage_bytes else "its storage is smaller than the body"

    def start(self, directory: Path, origin: str) -> Server:
        executable = program("traffic_server")
        port = free_port()
        plugins = ""
        if self.slice_size:
            modules = _modules()
            if missing := [
                name for name in ("slice", "cache_range_requests") if not (modules / f"{name}.so").exists()
            ]:
                raise Absent(f"the plugin {missing[0]} is not installed")
            plugins = (
                f" @plugin=slice.so @pparam=--blockbytes={self.slice_size} @plugin=cache_range_requests.so"
            )
        root = self._lay_out(directory, port, f"map / {origin}/{plugins}\n")
        log = directory / "log"
        process = spawn([executable, f"--run-root={root}"], log)
        return wait_until_open(Server(self.name, f"http://127.0.0.1:{port}", process), log)

    def _lay_out(self, directory: Path, port: int, remap: str) -> Path:
        """The files of an installation of our own in `directory`; the file that names its folders."""
        folders = {name: directory / name for name in ("etc", "run", "logs", "cache", "share")}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        root = directory / "runroot.yaml"
        places = {
            "prefix": directory,
            "exec_prefix": directory,
            "bindir": "/usr/bin",
            "sbindir": "/usr/sbin",
            "sysconfdir": folders["etc"],
            "datadir": folders["share"],
            "libexecdir": _modules(),
            "localstatedir": folders["run"],
            "runtimedir": folders["run"],
            "logdir": folders["logs"],
            "cachedir": folders["cache"],
        }
        root.write_text("".join(f"{name}: {path}\n" for name, path in places.items()))
        files = _FILES | {
            "records.config": _RECORDS.format(
                port=port,
                patience=self.patience_seconds,
                ram_bytes=self.ram_bytes,
                sync_seconds=self.sync_seconds,
            ),
            "remap.config": remap,
            "storage.config": f"{folders['cache']} {self.storage_bytes}\n",
        }
        for name, text in files.items():
            (folders["etc"] / name).write_text(text)
        return root


def _modules() -> Path:
    """Where the packaged plugins are. Raises Absent."""
    layout = subprocess.run(
        [program("traffic_layout")], capture_output=True, text=True, timeout=10, check=False, cwd="/"
    ).stdout
    found = re.search(r"^PLUGINDIR: (\S+)$", layout, re.MULTILINE)
    if not found:
        raise Absent("traffic_layout does not tell where plugins are")
    return Path(found[1])
