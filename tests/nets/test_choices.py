"""The table of choices: what each threshold decides, and thresholds from a file."""

import json

import jax
import pytest

from nets.choices import (
    VARIABLE,
    Choices,
    accumulation_dtype,
    chosen,
    kernel_first,
    one_group_at_a_time,
    prefers_band,
    products_first,
    products_first_without_gradient,
    slow_kernel,
)


@pytest.fixture
def thresholds(tmp_path, monkeypatch):
    """Use thresholds from a file."""

    def use(**values):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        path.write_text(json.dumps(values))
        monkeypatch.setenv(VARIABLE, str(path))

    return use


def test_each_threshold_decides_at_its_value(thresholds):
    assert chosen() == Choices()
    thresholds(large_kernel=100, cached_products=50, least_rows=8, most_rows=24)
    assert chosen() == Choices(100, 50, 8, 24)
    assert (slow_kernel(10, 10), slow_kernel(9, 11)) == (True, False)
    rows = [rows for rows in range(40) if kernel_first((10, 10), rows)]
    assert rows == [8, 16, 24]
    assert not kernel_first((9, 11), 16)
    assert [products_first(10, 10, 4), products_first(9, 10, 4), products_first(9, 10, 1)] == [
        True,
        False,
        True,
    ]
    assert [
        products_first_without_gradient(entries, fuses)
        for entries, fuses in ((50, True), (51, True), (50, False))
    ] == [True, False, False]
    thresholds(band_channels=2, band_taps=9, split_groups=3)
    assert [prefers_band(2, 9), prefers_band(3, 9), prefers_band(2, 8)] == [True, False, False]
    assert [groups for groups in range(6) if one_group_at_a_time(groups)] == [2, 3]


def test_sizes_without_a_number_take_the_form_for_every_size():
    rows = jax.export.symbolic_shape("rows")[0]
    assert not kernel_first((1024, 1024), rows)
    assert not products_first_without_gradient(rows, True)


def test_other_devices_take_the_plain_form(monkeypatch):
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    assert not slow_kernel(2**10, 2**10)
    assert not kernel_first((2**10, 2**10), 16)
    assert not one_group_at_a_time(2)
    assert products_first(4, 16, 4)
    assert accumulation_dtype("bfloat16", "float32") == "bfloat16"


@pytest.mark.parametrize("text", ["[1", '{"large_kernels": 3}', None])
def test_a_file_that_is_no_table_is_named(text, tmp_path, monkeypatch):
    path = tmp_path / "thresholds.json"
    if text:
        path.write_text(text)
    monkeypatch.setenv(VARIABLE, str(path))
    with pytest.raises(ValueError, match=rf"{VARIABLE}={path} is no file of thresholds"):
        chosen()
