"""The residual coder: signed integer planes to entropy-coded data and back.

`analyse` chooses what is coded of planes (N, 1 or 3, H, W) in 1/16 of a sample, `write` and `read`
code it, `reconstruct` gives the planes back; `write_exact` and `read_exact` lose nothing. Three
planes are luma and two chroma planes of its size; planes of other sizes, such as subsampled chroma,
are coded one by one. What a prediction says about its residual is given as `hints_of` it.
"""
