"""A trained generator for use elsewhere: as ONNX, and as a page with the generator inside."""
