"""Results of the benchmarks on a GPU: lines of JSON files, written as they are measured.

python -m bench.gpu_lines FOLDER                print the tables of the files in a folder
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax

from bench.tables import markdown

Line = dict[str, str]


class Lines:
    """A file of one subject: its lines, and the device. A line that fails says why."""

    def __init__(self, doc: str):
        parser = argparse.ArgumentParser(description=doc.split("\n", maxsplit=1)[0])
        parser.add_argument("--save", type=Path, required=True, help="JSON file to write")
        parser.add_argument("--tiny", action="store_true", help="sizes for a trial on a CPU")
        options = parser.parse_args()
        self.file, self.tiny, self.lines = options.save, options.tiny, []
        self.rounds = 2 if options.tiny else 9
        self.file.parent.mkdir(parents=True, exist_ok=True)

    def add(self, name: Line, measure: Callable[[], Sequence[Line]]) -> None:
        """Measure, and add what was measured; name: the first columns of the lines."""
        try:
            found = measure()
        except Exception as error:  # the other lines are still wanted
            found = [{"error": f"{type(error).__name__}: {error}".split("\n", maxsplit=1)[0]}]
        for line in found:
            self.lines.append(name | line)
            print(json.dumps(self.lines[-1]), file=sys.stderr, flush=True)
        device = jax.devices()[0].device_kind
        content = {"device": device, "jax": jax.__version__, "lines": self.lines}
        self.file.write_text(json.dumps(content, indent=1), encoding="utf-8")


def milliseconds(seconds: Mapping[str, Sequence[float]], steps: int, ours: str) -> list[Line]:
    """Median and quartiles of the times of a step, and the ratio to ours."""
    lines = []
    for name, times in seconds.items():
        low, middle, high = statistics.quantiles(times, n=4, method="inclusive")
        ratio = statistics.median(a / b for a, b in zip(times, seconds[ours], strict=True))
        lines.append(
            {
                "by": name,
                "ms a step": f"{middle / steps * 1e3:.3f}",
                "quartiles": f"{low / steps * 1e3:.3f} to {high / steps * 1e3:.3f}",
                "time / ours": f"{ratio:.2f}",
            }
        )
    return lines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    for file in sorted(parser.parse_args().folder.glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        columns = dict.fromkeys(name for line in content["lines"] for name in line)
        lines = [{name: line.get(name, "") for name in columns} for line in content["lines"]]
        print(f"\n## {file.stem}\n\n{content['device']}; jax {content['jax']}\n")
        print(markdown(lines))


if __name__ == "__main__":
    main()
