"""How many rows each class lacks, by the strategies of imbalanced-learn."""

# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

import numpy as np


def missing_per_class(y, strategy):
    """Number of rows to add to each class.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Labels.
    strategy : str, float or dict
        ``sampling_strategy`` of ``fit_resample``.

    Returns
    -------
    missing : dict
        From labels to numbers, only for classes that the strategy is about.

    Raises
    ------
    ValueError
        If the strategy is unknown or does not fit the labels.
    """
    classes, counts = np.unique(y, return_counts=True)
    sizes = dict(zip(classes.tolist(), counts.tolist(), strict=True))
    largest, smallest_class = max(sizes.values()), min(sizes, key=sizes.get)
    if isinstance(strategy, dict):
        return _missing_for_sizes(sizes, strategy)
    if isinstance(strategy, Real) and not isinstance(strategy, bool):
        if len(sizes) != 2:
            raise ValueError(
                f"A float 'sampling_strategy' is for two classes, got {len(sizes)} classes. "
                "Use a dict of class sizes."
            )
        if not 0 < strategy <= 1:
            raise ValueError(f"'sampling_strategy' as a float must be in (0, 1], got {strategy}.")
        return _missing_for_sizes(sizes, {smallest_class: int(strategy * largest)})
    not_majority = [label for label, size in sizes.items() if size < largest]
    chosen = {
        "auto": not_majority,
        "not majority": not_majority,
        "minority": [smallest_class],
        "not minority": [label for label in sizes if label != smallest_class],
        "all": list(sizes),
    }
    if not isinstance(strategy, str) or strategy not in chosen:
        raise ValueError(
            f"'sampling_strategy' must be a dict, a float or one of {sorted(chosen)}, got "
            f"{strategy!r}."
        )
    return {label: largest - sizes[label] for label in chosen[strategy]}


def _missing_for_sizes(sizes, wanted):
    for label, size in wanted.items():
        if label not in sizes:
            raise ValueError(
                f"'sampling_strategy' names class {label!r}, but the classes in y are "
                f"{list(sizes)}."
            )
        if size < sizes[label]:
            raise ValueError(
                f"'sampling_strategy' asks for {size} images of class {label!r}, which has "
                f"{sizes[label]} already. Images are only added."
            )
    return {label: size - sizes[label] for label, size in wanted.items()}
