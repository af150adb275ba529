"""How a picture is looked at in testing: which crops, at which scales. Nothing here needs TensorFlow."""

from dataclasses import dataclass

from common.errors import UserError, unknown

PROTOCOLS = ("1", "10", "144", "dense")
GOOGLENET_SCALES = (256, 288, 320, 352)  # section 7, for 224 pixels


@dataclass(frozen=True)
class Protocol:
    """A test protocol; the softmax of all its views of a picture is averaged.

    Attributes:
        crops: of the picture resized so that its short side is a scale:
            1      the central square.
            10     the four corners and the centre, each also mirrored (Krizhevsky 2012, section 4.1; He 2016, 3.4).
            144    with four scales: of the three squares along the long side, the four corners, the centre and the
                   square itself resized, each also mirrored (Szegedy 2015, section 7).
            dense  every window of the network's input size, a stride apart, in one pass, also mirrored (Simonyan 2015,
                   section 3.2).
        scales: short sides in pixels; empty: those of the protocol itself.
    """

    crops: str = "1"
    scales: tuple[int, ...] = ()

    def __post_init__(self):
        if self.crops not in PROTOCOLS:
            raise unknown("--crops", self.crops, PROTOCOLS)

    def short_sides(self, image_size: int, resize: int) -> tuple[int, ...]:
        """The short sides to test at, in pixels.

        Args:
            image_size: of the network's input.
            resize: short side before the crop in the network's own preprocessing, used where no scale is given; with
                144 crops the paper's four in proportion to `image_size`.

        Raises:
            UserError: a scale smaller than the network's input.
        """
        if self.scales and min(self.scales) < image_size:
            given, least = ",".join(map(str, self.scales)), min(self.scales)
            raise UserError(f"--scales={given}: {least} is smaller than the network's input of {image_size} pixels")
        if self.scales:
            return self.scales
        if self.crops == "144":
            return tuple(round(scale * image_size / 224) for scale in GOOGLENET_SCALES)
        return (resize,)

    def views(self, scales: int) -> int:
        """Crops of one picture at this many scales; dense: passes through the network."""
        return {"1": 1, "10": 10, "144": 36, "dense": 2}[self.crops] * scales

    @property
    def mirrored(self) -> bool:
        """Whether half of the views are mirror images."""
        return self.crops != "1"

    def name(self, image_size: int, resize: int) -> str:
        """For file names: `10crops-scales-256-288`, `dense`; "" for the central crop at the network's own scale."""
        sides = self.short_sides(image_size, resize)
        own = sides == Protocol(self.crops).short_sides(image_size, resize)
        crops = {"1": "", "dense": "dense"}.get(self.crops, f"{self.crops}crops")
        scales = "" if own else f"scales-{'-'.join(map(str, sides))}"
        return "-".join(filter(None, [crops, scales]))

    def text(self, short_sides: tuple[int, ...]) -> str:
        """For people: `10 crops at short side 256`."""
        what = "dense" if self.crops == "dense" else "centre crop" if self.crops == "1" else ""
        what = what or f"{self.views(len(short_sides))} crops"
        return f"{what} at short side {', '.join(map(str, short_sides))}"
