"""torch modules, free of any estimator."""
