"""Weights and solver states on disk: caffemodel, solverstate, HDF5."""
