"""A step function whose results a beam search cannot use is refused, with what it must return."""

import pytest

from nets.decoding.beam import beam_search
from tests.nets.decoding.automata import EOS, automaton, plain, run, starts

SMALL = {"bos_id": 1, "eos_id": EOS, "beam_size": 2, "max_length": 3}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda logits, carry: logits,
            r"step_fn must return \(logits, carry\) or .*, got .*Tracer",
        ),
        (lambda logits, carry: (logits,), "got 1 results"),
        (
            lambda logits, carry: (logits[:, None], carry),
            r"logits \[.*, symbols\], got \(.*, 1, 3\)",
        ),
        (lambda logits, carry: (logits[0], carry), r"logits \[.*, symbols\], got \(3,\)"),
    ],
)
def test_a_step_function_with_wrong_results_is_refused(wrong, message):
    def step_fn(*inputs):
        return wrong(*plain(*inputs))

    with pytest.raises(ValueError, match=message):
        run(beam_search, step_fn, automaton(0), starts(0, 2), **SMALL)
