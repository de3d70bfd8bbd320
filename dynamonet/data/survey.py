"""Every listed file looked at once: what the ledger knows is taken from there, the rest goes to the pool."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dynamonet.data.checking import Absent, Stamp, Task, copy_key, facts_key, stamp
from dynamonet.data.checking_pool import examine_all
from dynamonet.data.copy_recipe import CopyRecipe, copy_path, recipe_id
from dynamonet.data.ledger import Key, Ledger
from dynamonet.files import sha256_text

Progress = Callable[[int, int], None]
"""Called with (done, in all): checks and copies of files, without those known already."""

Announce = Callable[[str], None]


@dataclass
class Finding:
    """What is known of one listed file."""

    seen: Stamp | None = None
    facts: dict | None = None
    copy: dict | None = None
    copy_file: str = ""
    """Where its copy lies or is to lie, relative to the folder of copies; "": none is wanted, or none can be."""
    status: str = "ok"
    reason: str = ""


class Survey:
    """The files of a data set at `root`, and their copies in `copies_folder` if there is a recipe for them."""

    def __init__(
        self,
        ledger: Ledger,
        root: Path,
        recipe: CopyRecipe | None,
        copies_folder: Path | None,
        listed: Sequence[str],
    ):
        """`listed` are the paths of all videos of the data set, of which a survey may look at a share."""
        self.ledger, self.root, self.recipe, self.copies_folder = ledger, root, recipe, copies_folder
        self.listed = listed
        self.findings: dict[str, Finding] = {}
        self.estimate: dict | None = None
        """What the copies of the whole data set will take, and its text, from when the first of them was made."""
        self.looked_at: set[str] = set()
        """Files that were opened."""

    def recall(self, paths: Iterable[str]) -> None:
        """Take in what the disk and the ledger say of files (paths relative to the root); opens none of them."""
        known = self.ledger.read()
        self.estimate = self.recipe and known.get(self._estimate_key)
        for path in paths:
            finding = self.findings.setdefault(path, Finding())
            try:
                finding.seen = stamp(self.root / path)
            except Absent as absent:
                finding.status, finding.reason = absent.status, absent.reason
                continue
            self._take_facts(finding, known.get(facts_key(path, finding.seen)))
            if finding.copy_file:
                finding.copy = known.get(self._copy_key(finding.copy_file))

    def complete(self, workers: int, progress: Progress, announce: Announce) -> None:
        """Check, then copy, all that is unknown; each result is in the ledger before the next is waited for.

        `announce` is told what the copies of all listed files will take before the first is made.
        """
        unchecked = [path for path, finding in self.findings.items() if finding.status == "ok" and not finding.facts]
        # Of the unchecked ones, those that decode are copied as well.
        copies = len(self._uncopied()) + len(unchecked) if self.recipe else 0
        for done in self._look(unchecked, None, workers):
            progress(done, len(unchecked) + copies)
        uncopied = self._uncopied()
        if uncopied:
            announce(self._estimated())
        for done in self._look(uncopied, self.recipe, workers):
            progress(len(unchecked) + done, len(unchecked) + len(uncopied))

    def _uncopied(self) -> list[str]:
        return [
            path
            for path, finding in self.findings.items()
            if finding.status == "ok" and finding.copy_file and not finding.copy
        ]

    def _look(self, paths: list[str], recipe: CopyRecipe | None, workers: int) -> Iterator[int]:
        """Check files, or copy them by the recipe; yield how many are done."""
        self.looked_at.update(paths)
        found = [self.findings[path] for path in paths]
        tasks = [
            Task(self.root / path, finding.seen, finding.facts, recipe, self.copies_folder)
            for path, finding in zip(paths, found, strict=True)
        ]
        for done, (position, examined) in enumerate(examine_all(tasks, workers), start=1):
            finding = found[position]
            if examined.facts is not None and finding.facts is None:
                self.ledger.write(facts_key(paths[position], finding.seen), examined.facts)
                self._take_facts(finding, examined.facts)
            if examined.copy is not None:
                finding.copy = examined.copy["facts"]
                self.ledger.write(copy_key(finding.copy_file, examined.copy["seen"]), finding.copy)
            if examined.failure:
                finding.status, finding.reason = "undecodable", examined.failure
            yield done

    def _estimated(self) -> str:
        """The estimate's text; a new estimate is of the files known to decode here, times all that are listed."""
        if self.estimate is None:
            from dynamonet.data.copy_estimate import estimate

            usable = [path for path, finding in self.findings.items() if finding.facts and finding.status == "ok"]
            frames = sum(self.findings[path].facts["frames"] for path in usable)
            made = estimate([self.root / path for path in usable], self.recipe, frames)
            share = len(self.findings) / len(self.listed)
            made = replace(
                made,
                videos=round(len(usable) / share),
                gigabytes=made.gigabytes / share,
                core_hours=made.core_hours / share,
            )
            self.estimate = {**asdict(made), "recipe": self.recipe.model_dump(), "text": str(made)}
            self.ledger.write(self._estimate_key, self.estimate)
        return self.estimate["text"]

    @property
    def _estimate_key(self) -> Key:
        """The jobs that share a data set have one estimate, and lists that have changed another."""
        return ("estimate", recipe_id(self.recipe), sha256_text("\0".join(sorted(self.listed))))

    def _take_facts(self, finding: Finding, facts: dict | None) -> None:
        finding.facts = facts
        if facts is None:
            return
        finding.status, finding.reason = facts["status"], facts["reason"]
        if self.recipe is not None and finding.status == "ok":
            path = copy_path(self.copies_folder, facts["sha256"], self.recipe)
            finding.copy_file = path.relative_to(self.copies_folder).as_posix()

    def _copy_key(self, file: str) -> Key | None:
        try:
            return copy_key(file, stamp(self.copies_folder / file))
        except Absent:
            return None
