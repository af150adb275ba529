"""What the comparisons on CIFAR-10 share: ResNet-20's recipe (He et al. 2016, section 4.2) of a few epochs."""

from experiments.design import PAPER, SMALL, Budget

BASE = {"arch": "resnet20", "dataset": "cifar10"}
# At half the side a step costs a third: two cores can then bear a comparison of many runs.
AT_16 = {"dataset": "cifar10-16px", "image_size": 16}
STEPS = 351  # of an epoch: 45,000 images, 128 a step
# The rate drops at a half and at three quarters, as there.
SHORT = {"epochs": 2, "schedule_boundaries": (STEPS, 3 * STEPS // 2)}
LONG = {"epochs": 12, "schedule_boundaries": (6 * STEPS, 9 * STEPS)}
SMALL_BUDGET = Budget("2 epochs, learning rate x0.1 at a half and at three quarters", SHORT)
SMALL_AT_16 = Budget(f"CIFAR-10 at 16 pixels, {SMALL_BUDGET.text}", {**AT_16, **SHORT})
PAPER_BUDGET = Budget("182 epochs of 45,000 images, the paper's 64,000 steps; x0.1 at 32,000 and 48,000", {}, 5)
BUDGETS = {SMALL: SMALL_BUDGET, PAPER: PAPER_BUDGET}
