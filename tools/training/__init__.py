"""One training: the engine, its process, the proofs, and what its result depends on."""
