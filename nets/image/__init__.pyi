from .alexnet import AlexNet as AlexNet
from .alexnet import local_response_norm as local_response_norm
from .lenet import LeNet5 as LeNet5
from .lenet import PublishedLeNet5 as PublishedLeNet5
from .lenet import digit_codes as digit_codes
from .resnet import ConvNet as ConvNet
from .resnet import Residual as Residual
from .vgg import VGG as VGG
