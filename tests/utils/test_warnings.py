"""Warnings point at the line of the user."""

# SPDX-License-Identifier: BSD-3-Clause

import warnings

import pytest
from newcomer_components import ComponentsAutoencoder
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from latentgen import EnsembleSampler, KernelDensitySampler, make_latent_pipeline
from latentgen.exceptions import NearCopyWarning
from latentgen.utils._warnings import warn_user


def copier():
    return KernelDensitySampler(0.01)


def pipeline():
    return make_latent_pipeline(ComponentsAutoencoder(), copier())


@pytest.mark.parametrize(
    "estimator",
    [
        copier(),
        EnsembleSampler(copier(), n_estimators=2),
        pipeline(),
        GridSearchCV(pipeline(), {"sampler__bandwidth": [0.01]}, cv=2, scoring=lambda *_: 0.0),
    ],
    ids=["sampler", "ensemble", "pipeline", "search"],
)
def test_a_warning_in_fit_points_at_the_line_that_calls_it(digits, estimator):
    X, _ = digits
    X = X.reshape(len(X), -1)
    with pytest.warns(NearCopyWarning) as caught:
        estimator.fit(X)
    assert {warning.filename for warning in caught} == {__file__}


def test_lines_of_latentgen_are_passed_over():
    scope = {"__name__": "latentgen.somewhere", "warn_user": warn_user}
    exec(compile("def call(): warn_user('told')", "inside.py", "exec"), scope)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scope["call"]()
        warn_user("converges", ConvergenceWarning)
    assert [warning.filename for warning in caught] == [__file__, __file__]
    assert caught[1].category is ConvergenceWarning
