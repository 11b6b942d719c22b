"""Zero-shot CLIP with the ensemble of all templates: a mixture of one expert."""

from __future__ import annotations

from mocoop.config import Config
from mocoop.groupfile.groups import GroupFile
from mocoop.methods.zero_shot import ZeroShot
from mocoop.training.method import pooled


class ZeroShotEnsemble(ZeroShot):
    """The mean of all templates of all groups."""

    name = "zero-shot-ensemble"
    title = "zero-shot, ensemble"
    settings = frozenset({"tau_class"})
    reads_groups = True

    def groups(self, given: GroupFile | None, config: Config) -> GroupFile:
        """All templates in one group."""
        return pooled(super().groups(given, config))


METHOD = ZeroShotEnsemble()
