"""What this machine's processor can do."""

from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}  # the last one: ARM


def has_bf16() -> bool | None:
    """Whether the processor multiplies numbers in bfloat16; None if the system does not say."""
    flags = _words("flags", "Features")
    return bool(flags & _BF16) if flags else None


def has_amx() -> bool:
    """Whether the processor multiplies tiles of matrices in bfloat16, as Intel's do from Sapphire Rapids on."""
    return "amx_bf16" in _words("flags")


def is_amd_with_avx512() -> bool:
    """Whether this is a processor on which MKL does without the AVX-512 that it has."""
    return "AuthenticAMD" in _words("vendor_id") and "avx512f" in _words("flags")


def _words(*names: str) -> set[str]:
    """What the system says of the first processor under one of `names`; nothing if it does not."""
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith(names)), set())
