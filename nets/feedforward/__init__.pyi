from .activations import ACTIVATIONS as ACTIVATIONS
from .activations import maxout as maxout
from .activations import straight_through as straight_through
from .initializers import INITIALIZERS as INITIALIZERS
from .mlp import MLP as MLP
