"""Finding what a picture can be predicted from, in floats: only encoders need it.

`search.best_prediction` tries candidates; what it finds is applied by `codec.prediction`.
"""
