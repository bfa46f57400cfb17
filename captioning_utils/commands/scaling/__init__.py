"""Millions of photos into Parquet tables of captions or features: by one process, by many, or on a Ray cluster."""

from captioning_utils.commands.scaling.engines import ENGINES, process_photos
from captioning_utils.commands.scaling.tables import Progress, read_progress
from captioning_utils.commands.scaling.workers import CaptionWorker, FeatureWorker
