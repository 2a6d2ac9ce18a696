"""The evaluation stage: samples and a reference set in, scores with their protocols out; in training and alone.

Configurations name `gan_lab.evaluation.Evaluation`; the modules of this package hold it all.
"""

from gan_lab import lazy_attributes

__getattr__ = lazy_attributes(
    __name__,
    {
        "Evaluation": "stage",
        "EvaluationError": "stage",
        "Generated": "sources",
        "Scores": "scores",
        "Stored": "sources",
        "digest_of": "scores",
        "scoring_mode": "isolation",
    },
)
