"""Generating sequences from any step function: greedy, sampling, beam search and exact search.

Read first: `sampling` (the step function, greedy decoding, sampling, ensembles), then `beam`
(beam search and all its options) and `scores` (length and coverage penalties, and the bound that
stops a search). `exact` is branch and bound. Both searches share `problem` (their inputs) and
`constraints` (which tokens may follow); `beam_step` is one step of the beam search, and `top_k` a
faster `lax.top_k`.
"""

from ..lazy import exports

__getattr__, __dir__ = exports(__name__, __file__)
