"""What spoils an image: pure functions of an image, a random generator and physical parameters.

An image is a float32 array (H, W, C), C in {1, 3}, RGB, nominally in [0, 1]. No function alters its argument. Every
random choice comes from the passed ``numpy.random.Generator``: the same generator state gives the same bits.
"""
