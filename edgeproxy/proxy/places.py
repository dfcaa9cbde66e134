"""Where the local authority of a configuration is."""

from __future__ import annotations

from pathlib import Path

from edgeproxy.config import Config
from edgeproxy.storage.directory import directory_path


def ca_directory(config: Config) -> Path:
    if config.proxy.ca:
        return Path(config.proxy.ca).expanduser()
    return directory_path(config.cache.directory) / "ca"
