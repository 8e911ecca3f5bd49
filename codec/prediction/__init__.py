"""Pictures predicted from pictures, in integers: the same prediction on every device.

What finds a prediction is in `codec.align`, and need not be exact.
"""
