"""From pixels to figures: the one way in which images are observed, restored, measured and recorded.

An evaluation walks through the house like this, with pipeline.evaluation.command as its guide: once through each room
on the way in, and out through the two doors that were opened first. What a step looks up on floors below while it has
the word is no station of the walk: a task's settings in pipeline.tasks, which figures apply in pipeline.metrics, how
many images a set has in pipeline.data.

1. pipeline.commands.evaluate states a request.
2. pipeline.storage: the output can be written, which would be in vain to learn later.
3. pipeline.registry: MLflow answers, and gives the model (scoring.model_files holds it for the workers).
4. pipeline.config: what the person overrode becomes the task's setting.
5. scoring.plan: what is measured, by whose rules (scoring.protocol). It is written into the output, so that another
   evaluation's results are never mixed with this one's. LPIPS has its weights by then, where it is asked for; what
   ``--key-maps`` asks for is drawn of one image now, by the first half of step 6.
6. scoring.evaluator gives each image to a worker (pipeline.cluster). There it is read by pipeline.data and degraded by
   its task in pipeline.tasks (scoring.observe), restored by semanir (scoring.restore_array), measured by
   pipeline.metrics, and the drawing that the job carries makes its picture (pipeline.evaluation.pictures).
7. Out again: picture and scores (scoring.record, scoring.parquet) are stored image by image, pipeline.evaluation draws
   the table, and the registry logs all.

``--harm`` (pipeline.evaluation.harm_over_strengths) makes a plan for each strength of a task's range
(scoring.strengths) and walks steps 5 and 6 with each, storing its scores. Step 7 it takes once, for the curve over
all of them: pipeline.evaluation draws it, and the registry logs no evaluation but puts it into a tag of the
registered version. Others enter later. The held-out images of a run (pipeline.runs.held_out) enter at scoring.plan,
with a drawing of their own, and leave with the scores. Training's validation, by which a sweep compares its trials,
enters at scoring.evaluator.score_restored: one image and PSNR alone, without plan or worker.
"""
