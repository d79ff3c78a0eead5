"""Commands that start runs, steer them and look at them."""
