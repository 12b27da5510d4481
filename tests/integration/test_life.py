# SPDX-License-Identifier: Apache-2.0
"""One simulated hour in the life of the built daemon, with mishaps from a seed (tests/lab/life.py). Other
seeds by hand: tests/lab/life.py --seed N."""

import sys

import pytest

from conftest import LAB

sys.path.insert(0, str(LAB))
import life  # noqa: E402

SEEDS = (2, 4)  # as the Rust directory and as the production one


@pytest.mark.real
@pytest.mark.parametrize("seed", SEEDS)
def test_an_hour_of_mishaps(seed, tmp_path):
    try:
        lived = life.live(seed, 3600, tmp_path)
    except life.Broken as broken:
        pytest.fail(f"seed {seed}: {broken}")
    assert lived.warp.awake() - 1e4 >= 3600
    assert len(lived.table) > 20
