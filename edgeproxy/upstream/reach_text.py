"""How a host may be reached, as text: for the processes of one node that tell each other."""

from __future__ import annotations

import json
from dataclasses import replace

from edgeproxy.upstream.upstream import Reach

REACH_FIELD = "X-Reach"
_TOLD = ("connect_timeout", "head_timeout", "verify_tls", "ca_file", "private_addresses")


def encode_reach(reach: Reach) -> str:
    """Without what the node identifies itself by, in ASCII."""
    return json.dumps({name: getattr(reach, name) for name in _TOLD})


def decode_reach(text: str) -> Reach:
    """What `encode_reach` has written."""
    return replace(Reach(), **json.loads(text))
