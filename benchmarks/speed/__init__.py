"""Speed programs, each run from the checkout as `python -m benchmarks.speed.NAME [--json]`.

step               our training step against the step of common unlearning scripts
end_to_end         a whole NPO run against the same run as a script
private_step       a differentially private step against a plain one
scaling            time and memory against depth, answer length and corpus size
memory             memory of a corpus from its file to the rows of a run
estimate_accuracy  the estimates of `expunge plan` against the runs
scoring_speed      scoring of options against one padded row per option
annotator          what the concept annotator finds in MedQuAD, and its speed
"""
