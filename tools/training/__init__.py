"""One training run: the engine and its process, GPUs, proofs of what was copied and frozen, and its inputs."""
