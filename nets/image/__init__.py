"""Image classifiers: LeNet-5, AlexNet, VGG and a small residual network.

Read first: `lenet` (both the lectures' LeNet-5 and the published one). `resnet` is a typical modern
network; `alexnet` and `vgg` follow their papers and also accept small images.
"""

from ..lazy import exports

__getattr__, __dir__ = exports(__name__, __file__)
