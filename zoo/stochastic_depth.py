"""Stochastic depth: a deep ResNet whose blocks are left out of training steps at random, later ones more often.

Paper   G. Huang, Y. Sun, Z. Liu, D. Sedra, K. Weinberger, "Deep Networks with Stochastic Depth", ECCV 2016,
        https://arxiv.org/abs/1603.09382.
Result  CIFAR-10 test error of 110 layers: 5.25 % (6.41 % without it); of 1,202 layers: 4.91 % (6.67 %).

python train.py --mode train --arch resnet110_stochastic_depth --dataset datasets/cifar10
python train.py --mode train --arch resnet50 --stochastic_depth 0.8
python train.py --mode test --arch resnet110_stochastic_depth --restore ckpt/

Block l of L takes part in a training step with probability p_l = 1 - (l / L) (1 - p_L), p_L = 0.5: on average 40.25 of
resnet110's 54 blocks. A block that is left out is not computed. In a test its branch is multiplied by p_l.
"""

from dataclasses import replace
from functools import partial

from common.architecture import Architecture, Option
from common.nn import residual
from resnet34 import CIFAR, SHORTCUT, build_cifar

LAST = 0.5  # p_L of section 3
# The network is resnet34.py's: 110 layers with shortcuts A. `--stochastic_depth P` is an option of every residual net.
#
# Deviations
#   1. Where sizes change A's shortcut keeps every second place; the authors' program averages 2x2.
#   2. One draw a step, for all devices.

# Section 4: x0.1 at 250 and 375 of 500 epochs of 45,000 images, 351 steps each.
RECIPE = replace(CIFAR, optimizer="nesterov", epochs=500, schedule_boundaries=(87750, 131625))

ARCHITECTURES = (
    Architecture(
        "resnet110_stochastic_depth",
        "stochastic_depth",
        partial(build_cifar, 110, stochastic_depth=LAST),
        32,
        RECIPE,
        "Huang 2016, section 4",
        own_options=(Option("shortcut", "A", SHORTCUT), replace(residual.OPTION, default=LAST)),
    ),
)
