"""What is measured of an image: conventions, and the metrics, of which catalog has the list.

Flicker is measured of a video and so is in no list of images' metrics.
"""
