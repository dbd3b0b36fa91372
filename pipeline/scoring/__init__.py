"""From pixels to figures: the one way in which images are observed, restored, measured and recorded.

An evaluation walks through the house like this, entering each room once: a command (pipeline.commands.evaluate) states
a request; pipeline.evaluation opens the model (pipeline.registry) and makes a plan (scoring.plan); scoring.evaluate
gives each image of the plan to a worker (pipeline.cluster), where pipeline.data reads it, its task degrades it
(scoring.observe), semanir restores it (scoring.restore) and pipeline.metrics measures it; the scores (scoring.record)
come back to pipeline.evaluation, which stores them (scoring.parquet), draws the table, and has pipeline.registry log
them. Training's validation, the held-out images of a run and a sweep's trials enter at scoring.evaluate.
"""
