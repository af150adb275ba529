"""Wu & He 2018: batch norm and its alternatives at a large and at a small batch; weight standardisation."""

from experiments.cifar import AT_16, BASE
from experiments.design import PAPER, SMALL, Budget, Claim, Comparison, Picture, Run, Table

GROUPS = 4  # of the 16, 32 and 64 channels of ResNet-20
NORMS = {
    "batch": {},
    "layer": {"norm": "layer"},
    "instance": {"norm": "instance"},
    "group": {"norm": "group", "norm_groups": GROUPS},
    "none": {"norm": "none", "learning_rate": 0.01, "clip_norm": 1},
    "batch-ws": {"weight_standardization": True},
    "group-ws": {"norm": "group", "norm_groups": GROUPS, "weight_standardization": True},
}
LABELS = {
    "batch-ws": "batch, weight standardisation",
    "group-ws": "group, weight standardisation",
    "none": "none, a tenth of the rate, clipped gradients",
}
AT_8 = ("batch", "layer", "instance", "group", "none", "group-ws")
ONE_SEED = ("layer", "instance", "group-ws")  # at batch 8, where a run takes longer


def _run(name: str, batch: int) -> Run:
    """Learning rates in proportion to the batch; the same epochs, so as many more steps."""
    flags = dict(NORMS[name])
    epoch = 45000 // batch
    if batch != 128:
        flags |= {"batch_size": batch, "learning_rate": flags.get("learning_rate", 0.1) * batch / 128}
    small = {"schedule_boundaries": (epoch // 2, epoch * 3 // 4)}
    paper = {"schedule_boundaries": (32000 * 128 // batch, 48000 * 128 // batch)}
    budgets = {SMALL: small, PAPER: paper}
    row, column = LABELS.get(name, name), f"batch {batch}"
    seeds = 1 if batch == 8 and name in ONE_SEED else 0
    return Run(f"{name}-{batch}", flags, f"{row}, {column}", budgets, row=row, column=column, seeds=seeds)


COMPARISON = Comparison(
    name="normalization",
    title="Normalisation at a large and a small batch",
    question="Which normalisation still trains ResNet-20 well when the batch shrinks from 128 to 8 images?",
    claims=(
        Claim(
            "ResNet-50 on ImageNet with 32 images a worker: batch norm 23.6 % error, group norm 24.1 %, layer norm "
            "25.3 %, instance norm 28.4 %. With 8 images a worker batch norm has 24.8 %, with 2 it "
            "has 34.7 %; group norm has 24.0 % and 24.1 %.",
            "Wu & He 2018, Tables 1 and 2",
        ),
        Claim(
            "With weight standardisation group norm reaches, at micro-batches, what batch norm reaches at large ones.",
            "Qiao et al. 2019",
        ),
    ),
    base=BASE,
    runs=(*(_run(name, 128) for name in NORMS), *(_run(name, 8) for name in AT_8)),
    budgets={
        SMALL: Budget(
            "CIFAR-10 at 16 pixels, 1 epoch, learning rate x0.1 at a half and at three quarters", {**AT_16, "epochs": 1}
        ),
        PAPER: Budget("182 epochs of 45,000 images, x0.1 at a half and at three quarters", {}, 3),
    },
    tables=(
        Table("grid", ("top1",), "normalisation"),
        Table("list", ("top1", "train_top1", "loss", "processor_minutes"), "normalisation"),
    ),
    pictures=(Picture("grid", "Test top-1 of ResNet-20 by normalisation, at batch 128 and 8"),),
    conclusion="At this budget the answer is the opposite of Wu & He's: with 8 images batch norm is not worse than "
    "with 128 but better, 43.26 ± 0.78 % against 41.57 ± 0.37 %, and no other normalisation without "
    "weight standardisation reaches it at either batch. The paper too takes 16 times the steps at a "
    "sixteenth of the rate, but over 100 epochs; in one epoch the further steps count for more, and every "
    "normalised network gains from them. In the paper batch norm loses much at 4 and 2 images only, which "
    "were not tried here. At batch 128 group norm has a higher mean than layer and instance norm, as in "
    "the paper, but their seeds overlap. Weight standardisation helps: group norm rises from 35.03 ± 1.34 "
    "% to 39.68 ± 0.34 %, batch norm from 41.57 ± 0.37 % to 44.42 ± 0.82 %. At batch 8 group norm with it "
    "has 41.58 % with one seed, less than each of batch norm's three. Without any normalisation, at a "
    "tenth of the rate and with clipped gradients, the network learns slowly; which of the three slows it "
    "was not tested. One epoch shows which network learns sooner, not which one ends higher.",
)
