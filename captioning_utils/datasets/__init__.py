"""Datasets of photos and captions: layouts, splits, checks, download, packing."""

from captioning_utils.datasets.check import check_dataset
from captioning_utils.datasets.dataset import CaptionDataset, load_dataset
from captioning_utils.datasets.download import download_coco
from captioning_utils.datasets.finding import DatasetReport
from captioning_utils.datasets.packing import pack_dataset
