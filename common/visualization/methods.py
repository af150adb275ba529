"""The methods by name, in the order of the courses: title, and what to look for. Nothing here needs TensorFlow."""

from typing import NamedTuple


class Method(NamedTuple):
    """How a method is announced.

    Attributes:
        title: of its sheets.
        look: what to look for, a sentence or two.
    """

    title: str
    look: str


METHODS = {
    "filters": Method(
        "Filters of the first convolution",
        "Edges of several directions and blobs of colour are what a trained network has; noise means that it has not "
        "learnt, or learnt at too high a rate. Grey is a weight of 0; each filter is scaled by its largest.",
    ),
    "activations": Method(
        "Activations",
        "What the strongest channels of a layer give for each picture, bright where they respond. Early maps follow "
        "edges, late ones light up in few places; a channel that is dark in every picture may be dead.",
    ),
    "occlusion": Method(
        "Occlusion",
        "A grey square moves over the picture. Red: covering this lowers the class's probability; blue: raises it. Red "
        "on the object is as it should be; red on the background shows what the network goes by instead.",
    ),
    "saliency": Method(
        "Saliency",
        "How strongly the class's score answers to a small change of each pixel. Noisy by nature: look at where the "
        "bright pixels lie, not at each.",
    ),
    "smoothgrad": Method(
        "SmoothGrad", "The mean gradient over noisy copies of the picture: the same question with less noise."
    ),
    "guided": Method(
        "Guided back-propagation",
        "The gradient with its negative parts dropped at every activation: fine outlines of what excites the network. "
        "It depends little on the class, so it shows what is seen more than what is decided.",
    ),
    "integrated": Method(
        "Integrated gradients",
        "The score's rise above that of a black picture, shared out among the pixels. Red speaks for the class, blue "
        "against it; the shares add up to the rise.",
    ),
    "gradcam": Method(
        "Grad-CAM",
        "Where the last maps hold evidence for the class, as coarse as those maps are. It should lie on the object.",
    ),
    "cam": Method(
        "Class activation maps",
        "The same for networks that end in global average pooling, where it is exact: the mean of the map, plus a "
        "bias, is the score. Red speaks for the class, blue against it.",
    ),
    "maximization": Method(
        "Pictures that maximise a class or a unit",
        "Found by gradient ascent from noise. Early units want textures, late ones parts of objects; a class's picture "
        "shows what the network takes for typical, often several times over.",
    ),
    "exciting": Method(
        "The test pictures that excite a unit most",
        "Cut down to what the unit sees of them. A unit that knows something shows nine of the same thing.",
    ),
    "neighbours": Method(
        "Nearest neighbours",
        "The test pictures whose features are nearest to those of the first in the row. Neighbours of another class "
        "(orange) show what the network holds for alike.",
    ),
    "pca": Method(
        "Map of the test pictures, PCA",
        "The plane in which the features vary most; frames have the colours of the classes. Where there is no room "
        "for a picture it stands beside its place, or is left out.",
    ),
    "tsne": Method(
        "Map of the test pictures, t-SNE",
        "Near pictures have near features; distances between far groups mean nothing. One group a class is a good "
        "network; look at what lies between two groups.",
    ),
}
