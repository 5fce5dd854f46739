"""Assets in JSON: the small values, such as names of classes, that a trained network needs."""

import json
from collections.abc import Mapping
from typing import Any

CLASSES = "classes.json"  # name of the asset with the names of the classes


def to_json(value: Any) -> bytes:
    """Readable JSON of a value."""
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


def classes_of(assets: Mapping[str, bytes]) -> tuple[str, ...]:
    """Names of the classes of a trained network."""
    return tuple(json.loads(assets[CLASSES]))
