"""What documents show can be used as it stands."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeproxy.cli.main import commands
from edgeproxy.configuration.source import load


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


def test_every_configuration_in_the_operators_guide_loads(root: Path, tmp_path: Path) -> None:
    shown = blocks(root / "configs" / "README.md", "toml")
    assert shown
    for number, text in enumerate(shown):
        file = tmp_path / f"{number}.toml"
        file.write_text(text)
        load(file, [], {})


def test_every_command_in_the_operators_guide_exists(root: Path) -> None:
    shown = "".join(blocks(root / "configs" / "README.md", "sh"))
    lines = [line for line in shown.split("\n") if line.startswith("edgeproxy ")]
    assert lines
    for line in lines:
        command = shlex.split(line, comments=True)[1]
        helped = CliRunner().invoke(commands, [command, "--help"])
        assert helped.exit_code == 0, line
        for option in re.findall(r"(?<= )--[a-z]+", line):
            assert option in helped.output, line


@pytest.mark.parametrize("name", ["README.md", "configs/README.md"])
def test_documents_name_no_path_of_a_developers_machine(root: Path, name: str) -> None:
    text = (root / name).read_text()
    assert re.findall(r"(?<![\w.])/(?:work|root|home|tmp)/\S+", text) == []
