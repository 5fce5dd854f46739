from .activations import ACTIVATIONS as ACTIVATIONS
from .boolean import BooleanNetwork as BooleanNetwork
from .boolean import boolean_network as boolean_network
from .mlp import MLP as MLP
from .perceptron import Perceptron as Perceptron
from .perceptron import perceptron_criterion as perceptron_criterion
