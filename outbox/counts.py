"""Counts that stop. Pure: past this many, people need to know that it is many, not how many."""

CAP = 10_000


def words(count: int) -> str:
    """The count for people; a statement that stops one row past CAP has counted more than that."""
    return f"{count:,}" if count <= CAP else f"more than {CAP:,}"
