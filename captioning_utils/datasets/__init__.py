"""Datasets of photos and captions: layouts, splits, checks, download."""

from captioning_utils.datasets.check import check_dataset as check_dataset
from captioning_utils.datasets.dataset import CaptionDataset as CaptionDataset
from captioning_utils.datasets.dataset import load_dataset as load_dataset
from captioning_utils.datasets.download import download_coco as download_coco
from captioning_utils.datasets.finding import DatasetReport as DatasetReport
