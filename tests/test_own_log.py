import json
import subprocess
import sys

import pytest

WRITE = """
import sys
from edgeproxy.own_log import OwnLog
log = OwnLog()
log.configure("warning")
assert "structlog" not in sys.modules
log.info("below")
log.warning("first", number=1)
log.configure("error")
log.warning("below by now")
log.error("last")
"""


@pytest.fixture(scope="module")
def lines() -> list[dict[str, object]]:
    done = subprocess.run([sys.executable, "-c", WRITE], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_lines_below_the_level_in_force_are_not_written(lines: list[dict[str, object]]) -> None:
    assert [line["event"] for line in lines] == ["first", "last"]


def test_a_line_tells_its_level_its_time_and_its_fields(lines: list[dict[str, object]]) -> None:
    assert lines[0]["level"] == "warning"
    assert lines[0]["number"] == 1
    assert str(lines[0]["timestamp"]).endswith("Z")


TOGETHER = """
import threading
from edgeproxy.own_log import OwnLog
log = OwnLog()
log.configure("warning")
barrier = threading.Barrier(8)
def write():
    barrier.wait()
    log.warning("one of many")
threads = [threading.Thread(target=write) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_first_lines_of_several_threads_are_all_written_where_they_belong() -> None:
    done = subprocess.run([sys.executable, "-c", TOGETHER], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["one of many"] * 8


SHORT = """
import resource
from edgeproxy.own_log import OwnLog
log = OwnLog()
log.configure("warning")
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
log.info("below")
log.warning("short", number=1)
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
log.warning("enough", number=2)
"""


def test_a_line_is_written_even_where_no_descriptor_is_left() -> None:
    done = subprocess.run([sys.executable, "-c", SHORT], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["event"], line["level"], line["number"]) for line in lines] == [
        ("short", "warning", 1),
        ("enough", "warning", 2),
    ]
