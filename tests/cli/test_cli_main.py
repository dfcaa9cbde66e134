import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

import edgeproxy
from edgeproxy.cli.main import commands


def test_help_and_version_are_there(run: Any) -> None:
    assert edgeproxy.__version__ in run("--version").out
    ended = run("--help")
    assert ended.code == 0
    for command in ("serve", "check", "status", "ls", "explain", "purge", "warm", "env"):
        assert command in ended.out


def test_each_command_is_there_and_has_its_line_in_the_help(run: Any) -> None:
    listed = run("--help").out.partition("Commands:\n")[2].splitlines()
    context = click.Context(commands)
    assert [line.split()[0] for line in listed] == commands.list_commands(context)
    for name in commands.list_commands(context):
        assert isinstance(commands.get_command(context, name), click.Command)


@pytest.mark.parametrize(
    "arguments", [("absent",), ("check", "--absent"), ("env", "--shell", "tcsh"), ("explain",)]
)
def test_wrong_usage_ends_with_2(run: Any, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).code == 2


@pytest.mark.parametrize("command", ["serve", "check", "status", "env"])
def test_a_configuration_that_cannot_be_used_is_one_line_and_2(run: Any, command: str) -> None:
    ended = run(command, "--set", "cache.disc=1")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "edgeproxy: cache.disc: unknown key; did you mean cache.disk?\n"


@pytest.mark.parametrize(
    ("loading", "needless"),
    [
        ("commands(['--help'], standalone_mode=False)", {"asyncio", "rich", "msgspec", "edgeproxy.config"}),
        ("commands.get_command(None, 'env')", {"aiohttp", "asyncio", "rich", "edgeproxy.cli.serve"}),
        ("commands.get_command(None, 'status')", {"aiohttp", "asyncio", "structlog", "edgeproxy.storage"}),
        ("commands.get_command(None, 'check')", {"aiohttp", "asyncio", "structlog", "pycurl"}),
    ],
    ids=["help", "env", "status", "check"],
)
def test_a_command_loads_nothing_that_only_others_need(loading: str, needless: set[str]) -> None:
    code = f"import sys; from edgeproxy.cli.main import commands; {loading}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & needless == set()


LATER_OR_NEVER = {
    *("aiohttp", "prometheus_client", "dns", "structlog", "rich", "cryptography", "importlib.metadata"),
    *("edgeproxy.admin.application", "edgeproxy.upstream.name_servers"),
    *("edgeproxy.node_routing", "edgeproxy.route_map", "edgeproxy.router.keeper", "edgeproxy.router.choice"),
    *("edgeproxy.workers.supervisor", "edgeproxy.serving.tls", "edgeproxy.cli.warm"),
    *("edgeproxy.sites.huggingface", "edgeproxy.sites.python_index"),
}
TELL_WHEN_READY = """
import os, sys
from edgeproxy import process
from edgeproxy.cli.main import main

def ready(*places):
    print(*sys.modules, flush=True)
    os._exit(0)

process.announce = ready
main(sys.argv[1:])
"""
PLAIN = """
[listen]
http = ["127.0.0.1:0"]
[admin]
listen = "127.0.0.1:0"
[cache]
directory = "{directory}"
[[site]]
name = "files"
kind = "generic"
mount = "/"
origin = "http://127.0.0.1:9"
"""


def test_a_node_answers_clients_before_it_has_loaded_what_no_hit_needs(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(PLAIN.format(directory=tmp_path / "cache"))
    command = [sys.executable, "-c", TELL_WHEN_READY, "serve", "--config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"edgeproxy.admin.server", "edgeproxy.storage.disk", "edgeproxy.sites.generic"} <= loaded
    assert loaded & LATER_OR_NEVER == set()
