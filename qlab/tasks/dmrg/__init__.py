"""Ground states of XXZ chains beyond exact diagonalisation: the density-matrix renormalisation group, by TeNPy."""
