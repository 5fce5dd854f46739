from .activations import ACTIVATIONS as ACTIVATIONS
from .autoencoder import ConvolutionalAutoencoder as ConvolutionalAutoencoder
from .autoencoder import DenseAutoencoder as DenseAutoencoder
from .mlp import MLP as MLP
from .rbm import RBM as RBM
from .rbm import contrastive_divergence as contrastive_divergence
