"""Image classifiers: LeNet-5, AlexNet, VGG and a small residual network.

Read first: `lenet` (LeNet-5 of the lectures, with modern layers, and as published). `resnet` is a
typical modern network; `alexnet` and `vgg` follow their papers and also accept small images.
"""

from ..lazy import exports

__getattr__, __dir__ = exports(__name__, __file__)
