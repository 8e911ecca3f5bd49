"""JPEG files as their coefficients: taken apart, put together again, and told by another picture.

coefficients.py  a file as coefficients and what stands around them, and back, byte for byte
huffman.py       the entropy coding of baseline files
blocks.py        coefficients as planes, and planes as guesses of coefficients
passes.py        the order in which coefficients are coded, and what contexts see
predicted.py     the prediction of a file from others
stream.py        a file as a prediction and what is new in it
"""
