"""What object stores share: ids that stand for keys, content in portions, requests at the same time."""

from connectors.objects.keys import Naming, is_folder, name_of, parent_of
from connectors.objects.portions import Source, replayed, total
from connectors.objects.together import answers, for_each

__all__ = [
    "Naming",
    "Source",
    "answers",
    "for_each",
    "is_folder",
    "name_of",
    "parent_of",
    "replayed",
    "total",
]
