"""The systemd unit: it is understood, it is closed, and it leaves a node the time it needs."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from edgeproxy.config import Limits

EXPOSURE_MAX = 17  # tenths; systemd calls 0 to 20 safe


class _Unit(configparser.ConfigParser):
    optionxform = staticmethod(str)  # type: ignore[assignment]


@pytest.fixture
def unit(tmp_path: Path, configs: Path) -> Path:
    """The unit with programs that exist on this machine."""
    text = (configs / "edgeproxy.service").read_text()
    assert text.count("/opt/edgeproxy/bin/edgeproxy ") == 4
    file = tmp_path / "edgeproxy.service"
    file.write_text(text.replace("/opt/edgeproxy/bin/edgeproxy ", f"{shutil.which('true')} "))
    return file


@pytest.fixture
def service(configs: Path) -> dict[str, str]:
    """The last value of each setting."""
    parser = _Unit(strict=False, interpolation=None)
    parser.read(configs / "edgeproxy.service")
    return dict(parser["Service"])


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )


def test_systemd_understands_all_of_it(unit: Path) -> None:
    done = analyze("verify", "--man=no", unit)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_service_is_closed(unit: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", unit)
    assert done.returncode == 0, done.stdout[-500:]


def test_a_drain_ends_before_systemd_loses_patience(service: dict[str, str]) -> None:
    assert int(service["TimeoutStopSec"]) >= Limits().drain_timeout + 10


def test_there_are_descriptors_for_all_connections(service: dict[str, str]) -> None:
    assert int(service["LimitNOFILE"]) >= 4 * Limits().connections


def test_systemd_is_told_of_readiness_also_by_a_program_that_takes_over(service: dict[str, str]) -> None:
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "all")


def test_what_ends_is_started_again_by_a_user_without_rights(service: dict[str, str]) -> None:
    assert service["Restart"] == "always"
    assert service["DynamicUser"] == "yes"
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == "CAP_NET_BIND_SERVICE"
