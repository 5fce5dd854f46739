"""Connectionist temporal classification: loss, alignment, decoding, and a network to train.

Read first: `loss` (the definition, `ctc_loss`, `ctc_greedy`, `ctc_align`), then `prefix_search`
(beam search over labels, with a language model) and `acoustic_model` (the network, whose front-end
layers are in `frontends`). `scaled_float` has the numbers that the loss is summed in.
"""

from ..lazy import exports

__getattr__, __dir__ = exports(__name__, __file__)
