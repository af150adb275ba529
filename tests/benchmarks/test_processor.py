"""What results say of the processor, from the system's own description of it."""

import math

import pytest

from benchmarks import processor, throughput

ZEN5 = (
    "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx avx2 avx512f avx512bw avx512_bf16\n\nprocessor\t: 1\n"
)
ZEN3 = "model name\t: AMD EPYC 7763\nflags\t\t: fpu avx avx2\n"
INTEL = "model name\t: Intel(R) Xeon(R)\nflags\t\t: avx2 avx512bw avx512_bf16 amx_bf16 amx_tile\n"


@pytest.fixture
def cpuinfo(monkeypatch, tmp_path):
    monkeypatch.delenv(processor.LIMIT, raising=False)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    return tmp_path / "cpuinfo"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (ZEN3, "AMD EPYC 7763 (AVX2)"),
        (ZEN5, "AMD EPYC (AVX2 + AVX-512 + AVX-512 BF16)"),
        (INTEL, "Intel(R) Xeon(R) (AVX2 + AVX-512 + AVX-512 BF16 + AMX)"),
        ("", "unknown (none of AVX2, AVX-512, AVX-512 BF16, AMX)"),
    ],
)
def test_model_and_instruction_sets_are_named(cpuinfo, text, wanted):
    cpuinfo.write_text(text)
    assert processor.describe().text == wanted


def test_a_limit_is_named_and_bfloat16_refused_under_it(cpuinfo, monkeypatch, capsys):
    cpuinfo.write_text(ZEN5)
    monkeypatch.setenv(processor.LIMIT, "avx2")
    assert processor.describe().text == "AMD EPYC (AVX2 + AVX-512 + AVX-512 BF16), oneDNN limited to AVX2"
    with pytest.raises(SystemExit):
        throughput.parse(["--precision", "float32,mixed_bfloat16"])
    assert "ONEDNN_MAX_CPU_ISA as it is set" in capsys.readouterr().err
    assert throughput.parse(["--precision", "float32"]).precision == ["float32"]
    for limit in ("AVX512_CORE", "AVX512_CORE_AMX", "ALL"):
        monkeypatch.setenv(processor.LIMIT, limit)
        assert throughput.parse(["--precision", "mixed_bfloat16"]).precision == ["mixed_bfloat16"]


def test_memory_is_what_the_system_says():
    assert 10 < processor.available_megabytes() < 1e8 or math.isinf(processor.available_megabytes())
