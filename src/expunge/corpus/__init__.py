"""Corpus: the training data. Records, the provenance tree, loaders, exports."""

from expunge.corpus.corpus import Corpus
from expunge.corpus.exports import export
from expunge.corpus.image import RecordImage
from expunge.corpus.loaders import load_corpus
from expunge.corpus.record import BLANK, DEFAULT_TREE_LEVELS, KINDS, LEVELS, Kind, Record, Turn, Variant, content_id
from expunge.corpus.tree import Node, Tree, contains, distance, lowest_common_ancestor

__all__ = [
    "BLANK",
    "DEFAULT_TREE_LEVELS",
    "KINDS",
    "LEVELS",
    "Corpus",
    "Kind",
    "Node",
    "Record",
    "RecordImage",
    "Tree",
    "Turn",
    "Variant",
    "contains",
    "content_id",
    "distance",
    "export",
    "load_corpus",
    "lowest_common_ancestor",
]
