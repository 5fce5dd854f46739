"""Interpretation: what convolutional networks respond to, and how gradients flow through time.

Read first: `convnets` (filters, receptive fields, top patches, deconvnet reconstructions, saliency
maps of any Flax module). `jaxpr` replaces operations of a traced function, which is how `convnets`
changes the gradient of rectifiers; `gradient_flow` measures vanishing gradients in recurrent cells.
"""

from ..lazy import exports

__getattr__, __dir__ = exports(__name__, __file__)
