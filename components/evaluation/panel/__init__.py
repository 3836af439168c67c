"""Official metrics of a set of clips: the one place that scores with published weights.

`evaluate`, `metrics` and `compare` all measure here: `networks` says which weights there are, `measures` asks
one clip at a time, `states` turns what clips gave into figures with intervals, `clips` reads files.
"""

from components.evaluation.panel.clips import Clip, find_clips, score_clips
from components.evaluation.panel.networks import given, load_networks
from components.evaluation.panel.states import Bootstrap

__all__ = ["Bootstrap", "Clip", "find_clips", "given", "load_networks", "score_clips"]
