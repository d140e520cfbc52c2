"""Two schemas, compared part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mig_kit.postgres._schema_text import same_text, same_view, unhashed, without_cast
from mig_kit.postgres.schema_change import ChangeKind, SchemaChange
from mig_kit.postgres.schema_parts import Column, Relation, Schema, Sequence

__all__ = ["schema_changes"]

_Pairs = list[tuple[Any, Any]]


def schema_changes(before: Schema, after: Schema) -> tuple[SchemaChange, ...]:
    """Return every difference, relation by relation, in the order of their labels; none when both are the same.

    A rename is known as one where both were read from the same database; else it is a removal and an addition.
    What a rename alone changes in other definitions is no difference, nor is the hash in a name that Django made.
    """
    return tuple(_Comparison(before, after).changes())


class _Comparison:
    """Two schemas, what of them belongs together, and which names have become which."""

    def __init__(self, before: Schema, after: Schema) -> None:
        self.before, self.after = before, after
        self.same_database = bool(before.origin) and before.origin == after.origin
        # Up to 15 pg_get_viewdef writes a view's only table before every column.
        self.views_alike = (before.major < 16) == (after.major < 16)
        self.relations = self._pairs(before.relations, after.relations, lambda one, other: one.is_view == other.is_view)
        self.columns = {
            old.label: self._pairs(old.columns, new.columns, name_first=True)
            for old, new in self.relations
            if old and new and old.columns != new.columns
        }
        self.sequences = self._pairs(before.sequences, after.sequences)
        self.types = self._pairs(before.types, after.types)
        named = [*self.relations, *self.sequences, *self.types]
        self.renamed = {
            _bare(_name(old)): _bare(_name(new)) for old, new in named if old and new and _name(old) != _name(new)
        }
        self.all_renamed = dict(self.renamed)
        for pairs in self.columns.values():
            self.all_renamed.update({old.name: new.name for old, new in pairs if old and new and old.name != new.name})

    def _pairs(
        self,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        fit: Callable[[Any, Any], bool] = lambda _one, _other: True,
        *,
        name_first: bool = False,
    ) -> _Pairs:
        """Return what belongs together, by number where that says something, else by name; None stands for nothing.

        ``name_first``: a number counts only where the name is gone. Who uses a column finds it by its name, and one
        that is put in the place of another is that other one from then on.
        """
        pairs: _Pairs = []
        if before == after:
            return [(each, after[name]) for name, each in before.items()]
        left, free = dict(before), dict(after)
        if self.same_database:
            by_number = {_number(each): (name, each) for name, each in after.items()}
            for name, old in before.items():
                found = by_number.get(_number(old))
                taken = name_first and found and (name in after or found[0] in before) and found[0] != name
                if found and not taken and fit(old, found[1]):
                    pairs.append((old, found[1]))
                    del left[name], free[found[0]]
        for name, old in left.items():
            new = free.get(name)
            if new is not None and fit(old, new):
                del free[name]
                pairs.append((old, new))
            else:
                pairs.append((old, None))
        pairs += [(None, new) for new in free.values()]
        return sorted(pairs, key=lambda pair: _name(pair[0] or pair[1]))

    def changes(self) -> Iterator[SchemaChange]:
        for kind, old_names, new_names in (
            ("SCHEMA", self.before.schemas, self.after.schemas),
            ("EXTENSION", self.before.extensions, self.after.extensions),
        ):
            yield from (SchemaChange(ChangeKind[f"{kind}_ADDED"], None, each) for each in sorted(new_names - old_names))
            yield from (
                SchemaChange(ChangeKind[f"{kind}_REMOVED"], None, each) for each in sorted(old_names - new_names)
            )
        yield from self._parts("DATA_TYPE", None, self.types, self._same_definition)
        for old, new in self.relations:
            yield from self._relation(old, new)
        yield from self._parts("SEQUENCE", None, self._free_sequences(), self._same_sequence)
        functions = self._pairs(self.before.functions, self.after.functions)
        yield from self._parts("FUNCTION", None, functions, self._same_definition)

    def _relation(self, old: Relation | None, new: Relation | None) -> Iterator[SchemaChange]:
        one = old or new
        assert one is not None
        word = "VIEW" if one.is_view else "TABLE"
        if old is None or new is None:
            yield SchemaChange(ChangeKind[f"{word}_{'ADDED' if new else 'REMOVED'}"], one.label, None, old, new)
            return
        if old == new and not self.all_renamed:
            return
        if old.label != new.label:
            yield SchemaChange(ChangeKind[f"{word}_RENAMED"], old.label, None, old, new)
        if old.comment != new.comment:
            yield SchemaChange(ChangeKind.COMMENT_CHANGED, old.label, None, old, new)
        if old.is_view:
            if not self._same_view(old, new):
                yield SchemaChange(ChangeKind.VIEW_CHANGED, old.label, None, old, new)
        else:
            if old.kind != new.kind or not same_text(old.properties, new.properties, self.renamed):
                yield SchemaChange(ChangeKind.TABLE_CHANGED, old.label, None, old, new)
            yield from self._columns(old, new)
        own = self._own_names(old)
        for kind in ("CONSTRAINT", "INDEX", "TRIGGER"):
            parts = {"CONSTRAINT": "constraints", "INDEX": "indexes", "TRIGGER": "triggers"}[kind]
            pairs = self._pairs(getattr(old, parts), getattr(new, parts), name_first=True)
            yield from self._parts(
                kind, old.label, _rehashed(pairs, self._same_definition, own), self._same_definition, own
            )

    def _same_view(self, old: Relation, new: Relation) -> bool:
        columns = [[(each.name, each.type) for each in view.columns.values()] for view in (old, new)]
        qualified = self.views_alike
        return columns[0] == columns[1] and same_view(
            old.definition, new.definition, self.all_renamed, qualified=qualified
        )

    def _columns(self, old: Relation, new: Relation) -> Iterator[SchemaChange]:
        if old.columns == new.columns:
            return
        pairs, own = self.columns[old.label], self._own_names(old)
        for before, after in pairs:
            if before is None or after is None:
                kind = ChangeKind.COLUMN_ADDED if after else ChangeKind.COLUMN_REMOVED
                yield SchemaChange(kind, old.label, (before or after).name, before, after)
            elif before[1:] != after[1:]:
                for kind in self._column(before, after, own):
                    yield SchemaChange(kind, old.label, before.name, before, after)
        both = [(before, after) for before, after in pairs if before and after]
        order = [after.name for _before, after in sorted(both, key=lambda pair: pair[0].number)]
        now = [after.name for _before, after in sorted(both, key=lambda pair: pair[1].number)]
        if order != now:
            yield SchemaChange(ChangeKind.COLUMN_ORDER, old.label, None, tuple(old.columns), tuple(new.columns))

    def _column(self, old: Column, new: Column, renamed: Mapping[str, str]) -> Iterator[ChangeKind]:
        other_type = not same_text(old.type, new.type, self.renamed)
        same_default = same_text(old.default, new.default, renamed)
        if old.name != new.name:
            yield ChangeKind.COLUMN_RENAMED
        if other_type:
            yield ChangeKind.TYPE_CHANGED
            same_default = same_default or without_cast(old.default) == without_cast(new.default)
        if old.collation != new.collation:
            yield ChangeKind.COLLATION_CHANGED
        if old.generated != new.generated or (old.generated and not same_default):
            yield ChangeKind.GENERATED_CHANGED
        elif not same_default:
            yield ChangeKind.DEFAULT_CHANGED
        if (old.not_null, old.not_null_valid) != (new.not_null, new.not_null_valid):
            yield ChangeKind.NULLABILITY_CHANGED
        if old.identity != new.identity:
            yield ChangeKind.IDENTITY_CHANGED
        if old.comment != new.comment:
            yield ChangeKind.COMMENT_CHANGED

    def _own_names(self, relation: Relation) -> Mapping[str, str]:
        """Return which names have become which in the definitions of a relation's parts."""
        if not self.all_renamed:
            return self.all_renamed
        pairs = self.columns.get(relation.label, ())
        own = {old.name: new.name for old, new in pairs if old and new and old.name != new.name}
        return {**self.renamed, **own}

    def _same_definition(self, old: Any, new: Any, renamed: Mapping[str, str] | None = None) -> bool:
        """Tell whether the definitions agree; a foreign key names another table's columns too."""
        if old.definition == new.definition:
            return True
        foreign = getattr(old, "kind", "") == "f"
        names = {**(self.all_renamed if foreign else renamed or self.renamed), old.name: new.name}
        return same_text(old.definition, new.definition, names)

    def _same_sequence(self, old: Sequence, new: Sequence, _renamed: Mapping[str, str] | None = None) -> bool:
        return old.definition == new.definition and same_text(old.owned_by, new.owned_by, self.all_renamed)

    def _free_sequences(self) -> _Pairs:
        """Leave out those that came or went with the table or the column that owns them."""
        gone: set[tuple[int | None, int | None]] = set()
        come: set[tuple[int | None, int | None]] = set()
        for old, new in self.relations:
            pairs = self.columns.get(old.label, []) if old and new else []
            gone |= {(old.oid, each.number) for each in old.columns.values()} if old and not new else set()
            come |= {(new.oid, each.number) for each in new.columns.values()} if new and not old else set()
            gone |= {(old.oid, one.number) for one, other in pairs if other is None}
            come |= {(new.oid, other.number) for one, other in pairs if one is None}
        return [
            (old, new)
            for old, new in self.sequences
            if (new or (old.table, old.column) not in gone) and (old or (new.table, new.column) not in come)
        ]

    def _parts(
        self,
        kind: str,
        relation: str | None,
        pairs: _Pairs,
        same: Callable[[Any, Any, Mapping[str, str] | None], bool],
        renamed: Mapping[str, str] | None = None,
    ) -> Iterator[SchemaChange]:
        for old, new in pairs:
            if old is None or new is None:
                part = new if old is None else old
                word = "ADDED" if old is None else "REMOVED"
                yield SchemaChange(ChangeKind[f"{kind}_{word}"], relation, part.name, old, new)
                continue
            if old.name != new.name and not _same_but_for_the_hash(old.name, new.name):
                yield SchemaChange(ChangeKind[f"{kind}_RENAMED"], relation, old.name, old, new)
            validity = f"{kind}_VALIDITY_CHANGED"
            if not same(old, new, renamed) or (kind == "TRIGGER" and old.enabled != new.enabled):
                yield SchemaChange(ChangeKind[f"{kind}_CHANGED"], relation, old.name, old, new)
            if validity in ChangeKind.__members__ and old.valid != new.valid:
                yield SchemaChange(ChangeKind[validity], relation, old.name, old, new)


def _rehashed(
    pairs: _Pairs, same: Callable[[Any, Any, Mapping[str, str] | None], bool], renamed: Mapping[str, str]
) -> _Pairs:
    """Put together what is left over on both sides, and differs in nothing but the hash in its name."""
    come = [new for old, new in pairs if old is None]
    if not come:
        return pairs
    found: _Pairs = []
    for old, new in pairs:
        if old is not None and new is None:
            new = next(
                (each for each in come if _same_but_for_the_hash(old.name, each.name) and same(old, each, renamed)),
                None,
            )
            if new is not None:
                come.remove(new)
        if old is not None:
            found.append((old, new))
    return found + [(None, each) for each in come]


def _same_but_for_the_hash(one: str, other: str) -> bool:
    return unhashed(one) == unhashed(other)


def _number(part: Any) -> int:
    number = part.oid if hasattr(part, "oid") else part.number
    return int(number)


def _name(part: Any) -> str:
    return str(part.label if isinstance(part, Relation) else part.name)


def _bare(label: str) -> str:
    return label.rpartition(".")[2].strip('"')
