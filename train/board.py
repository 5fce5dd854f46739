"""TensorBoard's file of events: scalars, pictures and texts."""

import itertools
import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

_numbers = itertools.count()


class Board:
    """Writer of a new file in a folder; when a method returns, its output is in the file."""

    def __init__(self, folder: Path):
        # the writer's own names have the time in seconds, so two files could have the same name
        self.writer = EventsWriter(str(folder / "events"), f".{os.getpid()}.{next(_numbers)}")

    def purge(self, step: int) -> None:
        """Hide what earlier files say about `step` and all later steps."""
        self._write(step, session_log=SessionLog(status=SessionLog.START))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write numbers by name."""
        items = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step, summary=Summary(value=items))

    def picture(self, step: int, name: str, png: bytes) -> None:
        """Write a picture, which is in PNG format."""
        width, height = struct.unpack(">II", png[16:24])
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        self._write(step, summary=Summary(value=[Summary.Value(tag=name, image=image)]))

    def text(self, step: int, name: str, text: str) -> None:
        """Write a text, which TensorBoard shows line by line, not as Markdown."""
        lines = "\n".join(f"    {line}" for line in text.splitlines())
        self._write(step, summary=summary.text(name, lines))

    def close(self) -> None:
        """Close the file."""
        self.writer.close()

    def _write(self, step: int, **content: object) -> None:
        self.writer.write_event(Event(step=step, wall_time=time.time(), **content))
        self.writer.flush()
