"""Speed programs, each run from the checkout as `python -m benchmarks.speed.NAME [--json]`.

step               our training step, and a whole NPO run, against common unlearning scripts
private_step       a differentially private step against a plain one
scaling            time and memory against depth, answer length and corpus size
memory             memory of a corpus from its file to the rows of a run
estimate_accuracy  the estimates of `expunge plan` against the runs
scoring_speed      scoring of options against one padded row per option
annotator          what the concept annotator finds in MedQuAD, and its speed
"""
