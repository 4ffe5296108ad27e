"""Import of optional libraries, with an error that names the extra to install."""

# SPDX-License-Identifier: BSD-3-Clause

from importlib import import_module


def import_optional(module, *, extra, needed_by):
    """Import `module`, or say how to get it.

    Parameters
    ----------
    module : str
        Dotted name of the module.
    extra : str
        The extra of latentgen that installs it.
    needed_by : str
        Name of the public object that needs it.

    Returns
    -------
    module : module

    Raises
    ------
    ImportError
        If the library is missing.
    """
    try:
        return import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise ImportError(
            f"{needed_by} needs {library}. Install it with: pip install latentgen[{extra}]."
        ) from error
