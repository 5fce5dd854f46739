"""--config.profile: a trace of some steps, and none of the others."""

import re

import pytest

from train.config import ConfigError
from train.loop import fit


def test_a_trace_of_two_steps_is_written(tmp_path, regression, small_config, capsys):
    config = small_config(steps=4, profile="2..3", figures_at=(), eval_every=4)
    fit(regression(config), config, tmp_path / "run")
    (trace,) = (tmp_path / "run" / "profile").rglob("*.xplane.pb")
    assert trace.stat().st_size > 1000
    assert f"profile: {tmp_path / 'run' / 'profile'}\n" in capsys.readouterr().out
    plain = small_config(steps=1, figures_at=())
    fit(regression(plain), plain, tmp_path / "plain")
    assert not (tmp_path / "plain" / "profile").exists()


@pytest.mark.parametrize("value", ["2", "3..2", "0..1", "a..b", "2..", "2..3..4", "²..³"])
def test_steps_that_cannot_be_read_are_refused(small_config, value):
    message = rf"profile must be FIRST\.\.LAST, two steps from 1 on, got {re.escape(repr(value))}"
    with pytest.raises(ConfigError, match=message):
        small_config(profile=value).check()
