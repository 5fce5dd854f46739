"""Image classifiers (LeNet-5, AlexNet, VGG, a small residual network), and parts of detectors.

Read first: `lenet` (LeNet-5 of the lectures, with modern layers, and as published). `resnet` is a
typical modern network; `alexnet` and `vgg` follow their papers and also accept small images.
`backbone` and `efficientnet` (whose weights trained on ImageNet are free) return feature maps.
`boxes` has the geometry of detections, `pyramid` pools windows of feature maps, and `dense_crf`
refines the answer of a network for every pixel.
"""

from ..lazy import exports

__getattr__, __dir__ = exports(__name__, __file__)
