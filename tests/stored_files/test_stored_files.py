"""Files of earlier versions open and give what they gave."""

# SPDX-License-Identifier: BSD-3-Clause

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from make_stored_files import outputs
from sklearn.base import BaseEstimator

import latentgen
from latentgen import load_model

FILES = sorted(Path(__file__).parent.glob("*/*.latentgen"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
@pytest.mark.filterwarnings("ignore:.*was made with:UserWarning")
def test_stored_file_opens_and_gives_what_it_gave(file):
    found = outputs(file.stem, load_model(file))
    expected = np.load(file.parent / "expected.npz")
    names = {name for name in expected.files if name.partition(".")[0] == file.stem}
    assert names == {f"{file.stem}.{key}" for key in found}
    for key, value in found.items():
        # float32, whose last bits differ from machine to machine and add up in a network.
        np.testing.assert_allclose(
            value, expected[f"{file.stem}.{key}"], rtol=1e-3, atol=1e-4, err_msg=key
        )


def test_every_public_estimator_is_in_a_stored_file():
    stored = set()
    for file in FILES:
        with zipfile.ZipFile(file) as archive:
            with zipfile.ZipFile(archive.open("model.skops")) as structure:
                schema = structure.read("schema.json")
        json.loads(
            schema,
            object_hook=lambda item: stored.add(
                f"{item.get('__module__')}.{item.get('__class__')}"
            ),
        )
    public = {
        f"latentgen.{name}"
        for name in latentgen.__all__
        if isinstance(found := getattr(latentgen, name), type) and issubclass(found, BaseEstimator)
    }
    assert public - stored == set()
