"""Which processor this is: its name, and the instructions that matrix products and convolutions use."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
LIMIT = "ONEDNN_MAX_CPU_ISA"  # what oneDNN, in TensorFlow and in PyTorch, takes for the most that there is
SETS = {"AVX2": "avx2", "AVX-512": "avx512bw", "AVX-512 BF16": "avx512_bf16", "AMX": "amx_bf16"}  # by their flags
# AMD's families and models (17h, 19h, 1Ah), for machines whose name is only "AMD EPYC".
ZEN = {
    (23, 0x00, 0x1F): "Zen", (23, 0x30, 0xFF): "Zen 2", (25, 0x00, 0x0F): "Zen 3", (25, 0x10, 0x1F): "Zen 4",
    (25, 0x20, 0x5F): "Zen 3", (25, 0x60, 0x7F): "Zen 4", (25, 0xA0, 0xAF): "Zen 4", (26, 0x00, 0xFF): "Zen 5",
}  # fmt: skip
# Values of LIMIT under which oneDNN has no instructions for bfloat16, or none of AMX.
_ABORTING = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2"}
_WITHOUT_BFLOAT16 = _ABORTING | {"AVX512_CORE", "AVX512_CORE_VNNI"}
_WITHOUT_AMX = {"AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX10_1_512"}


@dataclass(frozen=True)
class Processor:
    """What is known of a processor.

    Attributes:
        name: as the system has it, with AMD's generation; "unknown processor" where the system does not say.
        sets: of `SETS`, those that it has.
        limit: the value of ONEDNN_MAX_CPU_ISA, in capitals; "" where it is not set.
    """

    name: str
    sets: tuple[str, ...]
    limit: str

    @property
    def text(self) -> str:
        """For people: `AMD EPYC Zen 4 (AVX2 + AVX-512), oneDNN limited to AVX2`."""
        limited = f", oneDNN limited to {self.limit}" if self.limit else ""
        return f"{self.name} ({' + '.join(self.sets) or 'none of ' + ', '.join(SETS)}){limited}"

    @property
    def short(self) -> str:
        """Name and most capable set: `AMD EPYC Zen 4, AVX-512 BF16`."""
        return ", ".join([self.name, *self.sets[-1:]])

    @property
    def aborts_in_bfloat16(self) -> bool:
        """Whether the limit ends a process that computes in bfloat16: TensorFlow asks oneDNN for what it then lacks."""
        return self.limit in _ABORTING

    @property
    def bfloat16_units(self) -> str | None:
        """Which of its sets oneDNN computes in bfloat16 with; None: with none, it would be emulated."""
        if "AMX" in self.sets and self.limit not in _WITHOUT_BFLOAT16 | _WITHOUT_AMX:
            return "AMX"
        return "AVX-512 BF16" if "AVX-512 BF16" in self.sets and self.limit not in _WITHOUT_BFLOAT16 else None


def describe() -> Processor:
    """The processor of this machine, as Linux describes it."""
    text = CPUINFO.read_text(encoding="utf-8") if CPUINFO.exists() else ""
    values = dict(re.findall(r"^([\w ]+?)\s*: (.*)$", text.split("\n\n")[0], re.MULTILINE))
    name = re.sub(r"\((R|TM)\)|\d+-Core Processor| CPU @.*|Processor", "", values.get("model name", "")).strip()
    family, model = int(values.get("cpu family", 0)), int(values.get("model", 0))
    if "AMD" in name:
        zen = next((zen for (of, low, high), zen in ZEN.items() if of == family and low <= model <= high), "")
        name = f"{name} {zen}".strip()
    flags = values.get("flags", "").split()
    sets = tuple(title for title, flag in SETS.items() if flag in flags)
    return Processor(re.sub(r"\s+", " ", name) or "unknown processor", sets, os.environ.get(LIMIT, "").upper())
