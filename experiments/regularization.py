"""One regulariser or augmentation at a time taken away or added, where images are few."""

from experiments.cifar import AT_16, BASE
from experiments.design import PAPER, SMALL, Budget, Claim, Comparison, Picture, Run, Table

COMPARISON = Comparison(
    name="regularization",
    title="Regularisation and augmentation",
    question="What does each regulariser and each augmentation do to training and test where images are few?",
    claims=(
        Claim(
            "Translations and reflections make training of the large network possible at all, the colour shift lowers "
            "the top-1 error by over 1 %, and weight decay lowers even the training error.",
            "Krizhevsky et al. 2012, sections 4.1 and 5",
        ),
        Claim("Dropout keeps the units from adapting to one another.", "Srivastava et al. 2014"),
        Claim(
            "mixup with alpha 1 lowers the CIFAR-10 error of a pre-activation ResNet-18 from 5.6 % to 4.2 %.",
            "Zhang et al. 2018, Figure 3",
        ),
        Claim("CutMix gains more than mixup and Cutout on CIFAR and ImageNet.", "Yun et al. 2019"),
    ),
    base={
        **BASE,
        "batch_size": 64,
        "schedule": "cosine",
        "learning_rate": 0.05,
        "dropout": 0.2,
        "color_jitter": 0.2,
    },
    runs=(
        Run("all", label="weight decay, flip, crop, dropout 0.2, colour jitter 0.2"),
        Run("no-weight-decay", {"weight_decay": 0}, "without weight decay"),
        Run("no-flip", {"flip": False}, "without flip"),
        Run("no-crop", {"crop": "none"}, "without crop"),
        Run("no-dropout", {"dropout": 0}, "without dropout"),
        Run("no-colour", {"color_jitter": 0}, "without colour jitter"),
        Run("mixup", {"mixup": 0.2}, "all, and mixup 0.2"),
        Run("cutmix", {"cutmix": 1.0}, "all, and CutMix 1"),
    ),
    budgets={
        SMALL: Budget(
            "2,500 images of CIFAR-10 at 16 pixels, 24 epochs, cosine",
            {**AT_16, "dataset": "cifar10-16px-250", "epochs": 24},
        ),
        PAPER: Budget("all images, 200 epochs, cosine", {"epochs": 200}),
    },
    tables=(Table(figures=("top1", "train_top1", "loss", "train_loss"), head="trained"),),
    pictures=(Picture("points", "Test top-1 of ResNet-20 with and without each, one point a seed"),),
    conclusion="With so few epochs most of these cost accuracy, the opposite of the papers. The network with all of "
    "them has no higher accuracy on its augmented training images than in the test, so nothing points to "
    "overfitting, and what hinders the training slows it down. The crop, dropout and the colour jitter "
    "cost: without them every seed is ahead of every seed with all, 46.48 ± 0.70 %, 45.36 ± 0.43 % and "
    "44.52 ± 0.79 % against 43.36 ± 0.30 %. Weight decay and the flip change less than the seeds do. "
    "mixup is level, CutMix the last by far. Of all these only the crop keeps the network from learning "
    "its images by heart: without it the training reaches 91.84 ± 2.96 %, and both the accuracy and the "
    "test loss are the highest of all, so the network is sure of its errors. At 16 pixels its shifts of "
    "up to 4 are a quarter of the side, twice what they are in the recipe. Whether the regularisers win "
    "in the end, as the papers report, needs their lengths of training.",
)
