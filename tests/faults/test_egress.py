"""The outbound fetcher among canaries: in a network where every address answers, none is called.

Needs Linux, `unshare` and `ip`, and either root or user namespaces; without them it fails, for a
proof that was skipped proves nothing.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_image_fetcher_never_calls_a_private_address() -> None:
    apart = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    run = subprocess.run(
        [*apart, sys.executable, "-m", "tests.faults.egress"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout.splitlines()[-1])
    assert {"169.254.169.254", "127.0.0.1", "10.0.0.1", "::1", "fd00:ec2::254"} <= set(
        seen["control"]
    ), "the canaries sing when somebody calls"
    assert seen["honest"] == "a photo", "and the way out leads out"
    assert seen["impostor"] == "later", "the certificate has to be the name's"
    assert seen["refused"] == ["IMAGE_SOURCE_REFUSED"]
    assert seen["rebound"] == ["later"]
    assert seen["led"] == ["IMAGE_NOT_FOUND"] * len(seen["led"])
    assert seen["tried"] > 200
    assert seen["called"] == {"by_url": [], "by_name": [], "by_redirect": []}
