"""Which processor a measurement is of: its model, and the instructions that matrix products and convolutions use."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
LIMIT = "ONEDNN_MAX_CPU_ISA"  # what oneDNN, in TensorFlow and in PyTorch, takes for the most that there is
SETS = {"AVX2": "avx2", "AVX-512": "avx512bw", "AVX-512 BF16": "avx512_bf16", "AMX": "amx_bf16"}  # by their flags
# Under these TensorFlow asks oneDNN for a product in bfloat16 that it then lacks, and the process is aborted.
_ABORTING = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2"}


@dataclass(frozen=True)
class Processor:
    """What a line of results says of the processor.

    Attributes:
        model: its name, as the system has it.
        instruction_sets: of SETS, those that it has, separated by spaces and plus signs, e.g. "AVX2 + AVX-512".
        onednn_limit: the value of ONEDNN_MAX_CPU_ISA; "" where it is not set.
    """

    model: str
    instruction_sets: str
    onednn_limit: str

    @property
    def text(self) -> str:
        """For people: `AMD EPYC (AVX2 + AVX-512), oneDNN limited to AVX2`."""
        limited = f", oneDNN limited to {self.onednn_limit}" if self.onednn_limit else ""
        return f"{self.model} ({self.instruction_sets or 'none of ' + ', '.join(SETS)}){limited}"


def describe() -> Processor:
    """The processor of this machine. Its model is "unknown" where the system does not name it as Linux on x86 does."""
    text = CPUINFO.read_text(encoding="utf-8") if CPUINFO.exists() else ""
    found = {name: re.search(rf"^{name}\s*:\s*(.*)$", text, re.MULTILINE) for name in ("model name", "flags")}
    model, flags = (one[1].strip() if one else "" for one in found.values())
    sets = [name for name, flag in SETS.items() if flag in flags.split()]
    return Processor(model or "unknown", " + ".join(sets), os.environ.get(LIMIT, "").upper())


def aborts_in_bfloat16() -> bool:
    """Whether the limit that is set would end a process that computes in bfloat16."""
    return describe().onednn_limit in _ABORTING


def available_megabytes() -> float:
    """Memory that a process may still take without others being swapped out; infinite where that is not known."""
    file = Path("/proc/meminfo")
    found = re.search(r"^MemAvailable:\s*(\d+) kB$", file.read_text(), re.MULTILINE) if file.exists() else None
    return int(found[1]) * 1024 / 1e6 if found else float("inf")
