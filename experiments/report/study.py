"""What a report is about: its metric and its baseline."""

import contextlib
import json
import re
from collections.abc import Sequence
from typing import Any

from experiments.report.runs import NOT_SETTINGS, Group, nearest


def find_metric(name: str, results: Sequence[dict[str, Any]]) -> str:
    """Return the metric `name`, or the headline for ""; raises ValueError when no run has it."""
    names = sorted({metric for result in results for metric in result["metrics"]})
    if name and name not in names:
        raise ValueError(
            f"--metric={name} is not measured by these runs (did you mean {nearest(name, names)}?)"
        )
    return name or results[0]["headline"]


def find_baseline(text: str, groups: Sequence[Group]) -> Group:
    """Return the only group with all settings of NAME=VALUE,NAME=VALUE.

    Raises ValueError, with the most similar settings, when there is not exactly one, or when there
    is only one group.
    """
    if len(groups) < 2:
        raise ValueError(f"--baseline={text} needs several configurations, there is only one")
    conditions = [item.partition("=")[::2] for item in re.split(r",\s*(?=\w+=)", text)]

    def matches(group: Group) -> bool:
        config = {k: v for k, v in group.runs[0].config.items() if k not in NOT_SETTINGS}
        return all(name in config and is_value(config[name], value) for name, value in conditions)

    matching = [group for group in groups if matches(group)]
    if len(matching) != 1:
        labels = [
            ",".join(f"{name}={value}" for name, value in group.settings.items())
            for group in matching or groups
        ]
        raise ValueError(
            f"--baseline={text} matches {len(matching)} of {len(groups)} configurations, not one "
            f"(did you mean {nearest(text, labels)}?)"
        )
    return matching[0]


def is_value(value: Any, text: str) -> bool:
    """Whether `text` denotes this value of a setting, as printed in the table or in JSON."""
    with contextlib.suppress(ValueError):
        if json.loads(text) == value:  # 1e-3 is 0.001, true is True, [1,2] is [1, 2]
            return True
    return text == str(value)
