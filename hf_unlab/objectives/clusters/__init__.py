"""Learning by clusters (DeepCluster): an encoder learns which clusters of its own features an example is in."""

from hf_unlab.modalities.audio.settings import AudioDataSettings, AudioFewLabelSettings
from hf_unlab.objectives.clusters.arguments import ClusterTrainingArguments
from hf_unlab.objectives.clusters.settings import ClusterModelSettings
from hf_unlab.objectives.clusters.trainer import ClusterPretrainingTrainer
from hf_unlab.training.objective import Objective

OBJECTIVE = Objective(
    modality="audio",  # of the recipe, unless it is told another
    trainer=ClusterPretrainingTrainer,
    arguments=ClusterTrainingArguments,
    settings=(AudioDataSettings, ClusterModelSettings, AudioFewLabelSettings),
)
