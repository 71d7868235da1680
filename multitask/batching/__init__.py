"""A step of the plan as arrays, each example with the weight of its loss."""
