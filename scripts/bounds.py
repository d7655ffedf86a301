"""Which architecture suits which memory: what recurrences and dilated convolutions must miss.

python scripts/bounds.py
python scripts/bounds.py power_law:rate=0.05 impulse:k=24 --length 64 --sizes 2 4 8 16
"""

import argparse
import sys

import numpy as np
from omegaconf import OmegaConf

from seq2seq.theory import bounds, kernels

DEFAULT = ["impulse:k=12", "exponential:rate=0.2", "gaussian:centre=12", "power_law", "random"]


def response(name: str, length: int) -> np.ndarray:
    """ρ of `family:parameter=value:…`, or white noise for `random` (seed=0)."""
    family, *settings = name.split(":")
    given = OmegaConf.to_container(OmegaConf.from_dotlist(settings))
    assert isinstance(given, dict)
    if family == "random":
        return np.random.default_rng(given.get("seed", 0)).normal(size=length)
    return kernels.build(family, {str(key): value for key, value in given.items()}).sample(length)


def shown(error: float) -> str:
    """Two digits; 0 for what is rounding."""
    return f"{error:.2g}" if error > 1e-12 else "0"


def main() -> int:
    """Print the table; exit code 2 for a kernel that cannot be built."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kernels", nargs="*", default=DEFAULT, help="family:parameter=value:…")
    parser.add_argument("--length", type=int, default=32, help="lags")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 8])
    given = parser.parse_args()
    try:
        if min(given.length, *given.sizes) < 1:
            raise ValueError("--length and --sizes must be at least 1")
        table = bounds.compare(
            {name: response(name, given.length) for name in given.kernels}, given.sizes
        )
    except (TypeError, ValueError) as error:
        print(f"bounds.py: {error}", file=sys.stderr)
        return 2
    print("Relative errors Σ(ρ − ρ̂)² / Σρ²; size: states, or channels between the layers.\n")
    print(table.to_string(index=False, float_format=shown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
