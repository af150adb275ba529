"""Canziani et al. 2016, for small images: accuracy at equal epochs against multiply-adds, parameters as area."""

from experiments.design import PAPER, SMALL, Budget, Claim, Comparison, Picture, Run, Table

# Networks for 32 pixels, and others at the smallest size that suits them; the longest run comes before the last ones.
NETWORKS = {
    "lenet5": {"learning_rate": 0.01, "batch_size": 64},
    "plain20": {},
    "resnet20": {},
    "resnet32": {},
    "se_resnet20": {},
    "nin_cifar": {},
    "vgg11_bn": {"image_size": 32, "batch_size": 128},
    "resnet18": {"image_size": 32, "batch_size": 128},
    "mobilenet_050": {"image_size": 32, "batch_size": 128},
    "googlenet": {"image_size": 79, "batch_size": 64},
    "squeezenet1_1": {"image_size": 64, "batch_size": 128},
    "alexnet": {"image_size": 67},
}


def _run(name: str, flags: dict) -> Run:
    size = flags.get("image_size", 32)
    return Run(name, {"arch": name, **flags}, name if size == 32 else f"{name} at {size} pixels")


COMPARISON = Comparison(
    name="zoo",
    title="The zoo at equal epochs",
    question="Which networks make the most of their multiply-adds and parameters at the same few epochs?",
    claims=(
        Claim(
            "Accuracy on ImageNet against inference time: a little more accuracy costs much more time, and the number "
            "of operations estimates the time well.",
            "Canziani et al. 2016",
        ),
    ),
    base={"dataset": "cifar10", "schedule": "cosine", "crop": "pad", "flip": True},
    runs=tuple(_run(name, flags) for name, flags in NETWORKS.items()),
    budgets={
        SMALL: Budget("1 epoch, each network at its own rate, cosine", {"epochs": 1}, 1),
        PAPER: Budget("182 epochs, cosine", {"epochs": 182}, 1),
    },
    tables=(Table(figures=("top1", "train_top1", "multiply_adds", "parameters", "processor_minutes")),),
    pictures=(Picture("bubbles", "Test top-1 on CIFAR-10 against multiply-adds, area: parameters"),),
    keep_weights=False,
    costs=True,
    conclusion="After one epoch accuracy hardly follows the multiply-adds: what counts is how soon a network learns. "
    "VGG-11 with batch norm is first, 58.75 %, with the most parameters; SE-ResNet-20, 55.55 %, and "
    "ResNet-20, 52.13 %, make the most of theirs, under a hundredth of them. Network in Network, 32.68 %, "
    "has the most multiply-adds and has only begun to learn; LeNet-5 is ahead of it with 38.22 %. It has "
    "no batch norm, but why it is slow was not tested. MobileNet, SqueezeNet and AlexNet, at 30.99 %, "
    "29.89 % and 32.52 %, are made for larger images. Canziani et al. compare networks trained to the "
    "end, so this is no test of their claim. One seed each: a few points between two networks may be the "
    "seed.",
)
