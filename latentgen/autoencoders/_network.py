"""An autoencoder from two torch modules of the user's own."""

# SPDX-License-Identifier: BSD-3-Clause

from sklearn.utils._param_validation import StrOptions

from latentgen.autoencoders._reconstruction import ReconstructionAutoencoder


class NetworkAutoencoder(ReconstructionAutoencoder):
    pass
