"""The way out: a net and its weights as an ONNX file, as PyTorch code, or as a safetensors file."""
