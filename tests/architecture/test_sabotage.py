"""The drill of `make sabotage` fits the code: a patch that no longer applies breaks nothing."""

import re
import subprocess

import pytest

from tests.sabotage.__main__ import Mutation, mutations
from tests.source_tree import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("mutation", mutations([]), ids=lambda mutation: mutation.name)
def test_every_patch_applies_and_names_a_threat_and_existing_tests(mutation: Mutation) -> None:
    command = ["git", "apply", "--check", str(mutation.file)]
    applied = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert applied.stderr == ""
    assert mutation.file.read_text().startswith("Threat: ")
    assert mutation.breaks
    assert mutation.tests
    for test in mutation.tests:
        file, *names = test.partition("[")[0].split("::")
        source = (ROOT / file).read_text()
        assert all(re.search(rf"^ *(async )?(def|class) {name}\b", source, re.M) for name in names)
