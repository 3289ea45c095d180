"""What a list of a big table needs: counts that stop, and filters that ask no table what they may offer."""

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin

from outbox import kinds
from outbox.counts import CAP
from outbox.models import Intent


class AtLeast(int):
    """A count that was not finished; it reads as what it is."""

    def __str__(self) -> str:
        """In words."""
        return f"more than {int(self):,}"


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Pages through the first 10,000 rows: who wants to see more of them wants a filter."""

    template_name = "admin/outbox/pagination.html"

    @cached_property
    def count(self) -> int:
        """How many rows there are, or AtLeast."""
        found: int = self.object_list.order_by()[: CAP + 1].count()  # type: ignore[attr-defined]  # a queryset
        return found if found <= CAP else AtLeast(CAP)


class DayFilter(admin.DateFieldListFilter):
    """By day. Django also offers "no date" where a column may be empty: by no index of ours, so it reads the table."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take that away again, and "has date" with it."""
        super().__init__(*args, **kwargs)
        empty = f"{self.field_path}__isnull"
        self.links = tuple((title, query) for title, query in self.links if empty not in query)


class KindFilter(admin.SimpleListFilter):
    """By kind; Django's own filter would read the whole table for the kinds there are."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        """The kinds that this release knows."""
        return [(name, name.replace("_", " ")) for name in [*kinds.names(), kinds.RAW.name]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Intent]) -> QuerySet[Intent]:
        """The intents of the chosen kind."""
        return queryset.filter(kind=self.value()) if self.value() else queryset
