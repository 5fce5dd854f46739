"""Assets in JSON: the small values, such as names of classes, that a trained network needs."""

import json
from typing import Any


def to_json(value: Any) -> bytes:
    """Readable JSON of a value."""
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


def from_json(content: bytes) -> Any:
    """Value of `to_json`."""
    return json.loads(content)
