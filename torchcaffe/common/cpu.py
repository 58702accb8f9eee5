"""What this machine's processor can do."""

from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}  # the last one: ARM


def has_bf16() -> bool | None:
    """Whether the processor multiplies numbers in bfloat16; None if the system does not say."""
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return None
    flags = [set(line.partition(":")[2].split()) for line in lines if line.startswith(("flags", "Features"))]
    return bool(flags[0] & _BF16) if flags else None
