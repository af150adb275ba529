"""What results say of the processor, from the system's own description of it."""

import pytest

from benchmarks import throughput
from common import processor

ZEN4 = "processor : 0\nmodel name : AMD EPYC\ncpu family : 25\nmodel : 17\nflags : fpu avx2 avx512bw avx512_bf16\n\n"
ZEN3 = "model name : AMD EPYC 7763 64-Core Processor\ncpu family : 25\nmodel : 1\nflags : avx avx2\n"
INTEL = (
    "model name : Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz\ncpu family : 6\nmodel : 143\n"
    "flags : avx2 avx512bw avx512_bf16 amx_bf16 amx_tile\n"
)


@pytest.fixture
def cpuinfo(monkeypatch, tmp_path):
    monkeypatch.delenv(processor.LIMIT, raising=False)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")

    def write(text):
        (tmp_path / "cpuinfo").write_text(text.replace(" :", "\t:"))

    return write


@pytest.mark.parametrize(
    ("text", "wanted", "short"),
    [
        (ZEN3, "AMD EPYC 7763 Zen 3 (AVX2)", "AMD EPYC 7763 Zen 3, AVX2"),
        (ZEN4 + ZEN3, "AMD EPYC Zen 4 (AVX2 + AVX-512 + AVX-512 BF16)", "AMD EPYC Zen 4, AVX-512 BF16"),
        (INTEL, "Intel Xeon Platinum 8481C (AVX2 + AVX-512 + AVX-512 BF16 + AMX)", "Intel Xeon Platinum 8481C, AMX"),
        ("", "unknown processor (none of AVX2, AVX-512, AVX-512 BF16, AMX)", "unknown processor"),
    ],
)
def test_name_and_instruction_sets(cpuinfo, text, wanted, short):
    cpuinfo(text)
    assert (processor.describe().text, processor.describe().short) == (wanted, short)


def test_a_limit_is_named_and_bfloat16_refused_under_it(cpuinfo, monkeypatch, capsys):
    cpuinfo(ZEN4)
    monkeypatch.setenv(processor.LIMIT, "avx2")
    assert processor.describe().text == "AMD EPYC Zen 4 (AVX2 + AVX-512 + AVX-512 BF16), oneDNN limited to AVX2"
    with pytest.raises(SystemExit):
        throughput.parse(["--precision", "float32,mixed_bfloat16"])
    assert "ONEDNN_MAX_CPU_ISA as it is set" in capsys.readouterr().err
    assert throughput.parse(["--precision", "float32"]).precision == ["float32"]
    for limit in ("AVX512_CORE", "AVX512_CORE_AMX", "ALL"):
        monkeypatch.setenv(processor.LIMIT, limit)
        assert throughput.parse(["--precision", "mixed_bfloat16"]).precision == ["mixed_bfloat16"]
