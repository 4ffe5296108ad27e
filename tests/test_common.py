"""scikit-learn's own checks over every estimator."""

# SPDX-License-Identifier: BSD-3-Clause

import inspect
from importlib import import_module
from pkgutil import iter_modules

import pytest
from _estimators import ESTIMATORS
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import latentgen
from latentgen.metrics import InceptionFeatures

# scikit-learn fits the steps of a pipeline in place, so that they can be reached and sliced, and
# expects the same two failures of its own Pipeline.
PIPELINE_FAILURES = {
    "check_dont_overwrite_parameters": "Pipeline.fit fits its 'steps' in place.",
    "check_estimators_overwrite_params": "Pipeline.fit fits its 'steps' in place.",
}


def expected_failed_checks(estimator):
    return PIPELINE_FAILURES if isinstance(estimator, Pipeline) else {}


@pytest.mark.filterwarnings("ignore:Float pixels are expected", "ignore:X has .* features")
@pytest.mark.filterwarnings("ignore:'latent_dim'=.* is larger")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failed_checks)
def test_estimator_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def public_estimators():
    """Every estimator class in an ``__all__`` of latentgen and its public modules."""
    modules = [latentgen] + [
        import_module(f"latentgen.{module.name}")
        for module in iter_modules(latentgen.__path__)
        if not module.name.startswith("_")
    ]
    public = {getattr(m, name) for m in modules for name in getattr(m, "__all__", [])
              if isinstance(name, str) and inspect.isclass(getattr(m, name))}  # fmt: skip
    # Regularizers have parameters and nothing to fit: tests/autoencoders/test_regularizers.py.
    return {
        cls
        for cls in public
        if issubclass(cls, BaseEstimator) and hasattr(cls, "fit") and not inspect.isabstract(cls)
    }


def test_every_public_estimator_is_in_the_list():
    # It shares all that is checked with ImageNetFeatures, and takes minutes for the checks.
    missing = public_estimators() - {type(estimator) for estimator in ESTIMATORS}
    missing -= {InceptionFeatures}
    assert not missing, f"Add a row to tests/_estimators.py for {missing}"
