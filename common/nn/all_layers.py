"""Every layer class of this project: importing this module registers them, so that Keras can load a .keras file."""

from common.nn.convolution import AveragePool, Conv, MaxPool
from common.nn.dropout import Dropout
from common.nn.normalization import BatchNorm, LocalResponseNormalization
from common.nn.padded_identity import PaddedIdentity

ALL = (AveragePool, BatchNorm, Conv, Dropout, LocalResponseNormalization, MaxPool, PaddedIdentity)
