"""Generating sequences from any step function: greedy, sampling, beam search and exact search.

Read first: `step_model` (the model as all searches take it, and ensembles), then `sampling` (greedy
decoding and sampling; `scored` adds log probabilities), `beam` (beam search), `scores` (`Score`:
length and coverage penalties, and the bound that stops a search) and `constraints` (`Limits`: which
tokens may follow). `exact` is branch and bound. Both searches share `problem`, their checked
inputs, and the constraints on words: `required` counts tokens, and `phrases` is an automaton.
`beam_step` is one step of the beam search, and `top_k` a faster `lax.top_k`.
"""

from ..lazy import exports

__getattr__, __dir__ = exports(__name__, __file__)
