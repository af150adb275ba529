"""The processor and the commit, as results.csv names them."""

import re
import subprocess
from pathlib import Path

CHANGED = "-changed"
CPUINFO = Path("/proc/cpuinfo")
# AMD's families and models (17h, 19h, 1Ah), for machines whose name is only "AMD EPYC".
ZEN = {
    (23, 0x00, 0x1F): "Zen", (23, 0x30, 0xFF): "Zen 2", (25, 0x00, 0x0F): "Zen 3", (25, 0x10, 0x1F): "Zen 4",
    (25, 0x20, 0x5F): "Zen 3", (25, 0x60, 0x7F): "Zen 4", (25, 0xA0, 0xAF): "Zen 4", (26, 0x00, 0xFF): "Zen 5",
}  # fmt: skip
# The most capable first; of each line the first that the processor has.
SETS = (
    (("amx_bf16", "AMX"),),
    (("avx512_bf16", "AVX-512 BF16"), ("avx512f", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX"), ("asimd", "NEON")),
)


def processor(text: str | None = None) -> str:
    """Name and instruction sets, e.g. `AMD EPYC Zen 4, AVX-512 BF16`.

    Args:
        text: the content of /proc/cpuinfo; None: this machine's.
    """
    if text is None:
        text = CPUINFO.read_text(encoding="utf-8") if CPUINFO.exists() else ""
    values = dict(re.findall(r"^([\w ]+?)\s*: (.*)$", text.split("\n\n")[0], re.MULTILINE))
    name = re.sub(r"\((R|TM)\)|\d+-Core Processor| CPU @.*|Processor", "", values.get("model name", "")).strip()
    family, model = int(values.get("cpu family", 0)), int(values.get("model", 0))
    if "AMD" in name:
        zen = next((zen for (of, low, high), zen in ZEN.items() if of == family and low <= model <= high), "")
        name = f"{name} {zen}".strip()
    flags = (values.get("flags") or values.get("Features") or "").split()
    sets = [next((title for flag, title in line if flag in flags), None) for line in SETS]
    return ", ".join([re.sub(r"\s+", " ", name) or "unknown processor", *filter(None, sets)])


def commit(root: Path) -> str:
    """The commit of the code, with `-changed` where a Python file differs from it; `unknown` without git."""

    def git(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)

    try:
        head = git("rev-parse", "--short=7", "HEAD")
        changed = git("diff", "--quiet", "HEAD", "--", "*.py").returncode
    except OSError:
        return "unknown"
    return head.stdout.strip() + (CHANGED if changed else "") if head.returncode == 0 else "unknown"
