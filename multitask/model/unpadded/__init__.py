"""A T5 on unpadded tokens: forward and backward pass of a step without a single padding token."""
