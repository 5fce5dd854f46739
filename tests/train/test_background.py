"""Services beside training: slow, failing and stuck ones; TensorBoard's file."""

import struct
import threading

from tensorboardX.proto.event_pb2 import Event

from train.background import SLOTS, Background
from train.board import Board


class Failing:
    """A service whose first two calls fail; it counts how often it is opened."""

    def __init__(self, said):
        self.said = said
        said.append("opened")

    def log(self, number):
        if number < 2:
            raise OSError(28, "No space left on device")
        self.said.append(number)

    def close(self):
        self.said.append("closed")


def test_a_service_that_fails_warns_once_and_is_opened_again(capsys):
    said = []
    service = Background("board", lambda: Failing(said))
    for number in range(4):
        service.call("log", number)
    service.close()
    assert said == ["opened", "opened", "opened", 2, 3, "closed"]
    warning = "warning: board: OSError: [Errno 28] No space left on device; training continues\n"
    assert capsys.readouterr().err == warning


def test_a_service_that_never_answers_delays_nothing(capsys):
    never = threading.Event()
    service = Background("service", never.wait)
    for number in range(SLOTS + 5):
        service.call("log", number)
    service.close(seconds=0.01)
    assert capsys.readouterr().err.count("warning: service: it does not answer") == 1


def events(folder):
    """Events of the only file of a folder, without the checks of TensorFlow's records."""
    (path,) = folder.glob("events.out.tfevents.*")
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        found.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return found


def test_tensorboard_has_numbers_pictures_and_texts(tmp_path):
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 7, 5) + b"..."
    board = Board(tmp_path)
    board.purge(3)
    board.scalars(4, {"train/loss": 0.5})
    board.picture(4, "figures/mistakes", png)
    board.text(4, "figures/sample", "two\nlines")
    version, purge, scalar, picture, text = events(tmp_path)  # before it is closed
    board.close()
    assert version.file_version == "brain.Event:2"
    assert (purge.step, purge.session_log.status) == (3, 1)
    (value,) = scalar.summary.value
    assert (scalar.step, value.tag, value.simple_value) == (4, "train/loss", 0.5)
    (value,) = picture.summary.value
    assert (value.image.width, value.image.height) == (7, 5)
    assert value.image.encoded_image_string == png
    (value,) = text.summary.value
    assert value.metadata.plugin_data.plugin_name == "text"
    assert b"    two\n    lines" in value.tensor.string_val[0]


def test_two_files_of_one_second_have_two_names(tmp_path):
    for board in (Board(tmp_path), Board(tmp_path)):
        board.close()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_is_gone_is_a_warning(tmp_path, capsys):
    service = Background("events", lambda: Board(tmp_path / "gone"))
    service.call("scalars", 0, {})
    service.close()
    assert "warning: events: FileNotFoundError" in capsys.readouterr().err
