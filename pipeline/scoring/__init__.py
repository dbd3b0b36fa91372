"""From pixels to figures: the one way in which images are observed, restored, measured and recorded.

An evaluation walks through the house like this. A command (pipeline.commands.evaluate) states a request.
pipeline.evaluation.command first asks what would be in vain later: whether MLflow answers (pipeline.registry) and the
output can be written (pipeline.storage). It opens the model (pipeline.registry) and LPIPS's weights (pipeline.metrics),
and makes a plan (scoring.plan), which it writes into the output, so that another evaluation's results are never mixed
with its own. scoring.evaluate gives each image of the plan to a worker (pipeline.cluster), where pipeline.data reads
it, its task degrades it (scoring.observe), semanir restores it (scoring.restore), pipeline.metrics measures it, and
the drawing that the job carries makes its picture (pipeline.evaluation.pictures). Picture and scores (scoring.record,
scoring.parquet) come back to pipeline.evaluation, which stores them image by image, then draws the table, and has
pipeline.registry log all.

Others enter later. The held-out images of a run (pipeline.runs.held_out) enter at scoring.plan, with a drawing of their
own, and leave with the scores. Training's validation, by which a sweep compares its trials, enters at
scoring.evaluate.score_restored: one image and PSNR alone, without plan or worker.
"""
