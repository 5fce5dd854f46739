from .activations import ACTIVATIONS as ACTIVATIONS
from .mlp import MLP as MLP
