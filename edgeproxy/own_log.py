"""The node's own log: lines on standard error, for people on a terminal, JSON elsewhere.

structlog is loaded with the first line, or when a node loads what can wait: it brings a library for coloured
text along, which takes longer to load than the store takes to open."""

from __future__ import annotations

import json
import logging
import sys
import threading
from typing import Any


class OwnLog:
    """Lines of this process: `event` says what has happened, the fields to whom."""

    def __init__(self) -> None:
        self._level = ""  # to be configured; "" when that is done
        self._loading = threading.Lock()  # a line may come while a thread loads what can wait

    def configure(self, level: str) -> None:
        """From now on, in this process, no line below `level` is written."""
        # It warns of what is normal here: writes to clients that left, connections without kernel TLS.
        logging.getLogger("aiofastnet").setLevel(logging.ERROR)
        self._level = level

    def load(self) -> Any:
        """What writes the lines."""
        with self._loading:
            import structlog

            if self._level:
                terminal = sys.stderr.isatty()
                structlog.configure(
                    processors=[
                        structlog.processors.add_log_level,
                        structlog.processors.TimeStamper(fmt="iso"),
                        structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
                    ],
                    wrapper_class=structlog.make_filtering_bound_logger(self._level),
                    logger_factory=structlog.PrintLoggerFactory(sys.stderr),
                )
                self._level = ""
        return structlog.get_logger("edgeproxy")

    def info(self, event: str, **fields: Any) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        try:
            log = self.load()
        except (OSError, ImportError):  # no descriptor is left to load it, which may be what is to be said
            if logging.getLevelName(level.upper()) >= logging.getLevelName((self._level or "debug").upper()):
                line = json.dumps({**fields, "event": event, "level": level}, default=str)
                print(line, file=sys.stderr, flush=True)  # noqa: T201
            return
        getattr(log, level)(event, **fields)


OWN_LOG = OwnLog()
