"""A migration as the steps that Django would do, each with the states before and after it."""


class Whole:
    """A migration that brings its own ``apply`` or ``unapply``: one step, of which nobody knows the parts."""

    atomic = False

    def __init__(self, migration, state, editor, backwards):
        self.state = state
        self._migration, self._editor, self._backwards = migration, editor, backwards

    def describe(self):
        return "The migration's own {}".format("unapply" if self._backwards else "apply")

    def run(self):
        if self._backwards:
            self._migration.unapply(self.state, self._editor)
        else:
            self.state = self._migration.apply(self.state.clone(), self._editor)


def is_its_own(migration, backwards):
    """Say whether a migration is applied in another way than Django's, operation by operation."""
    from django.db.migrations import Migration

    if backwards:
        return type(migration).unapply is not Migration.unapply
    return type(migration).apply is not Migration.apply


def refuse_irreversible(migration, steps):
    """Raise, as Django does, before anything of it is taken back."""
    from django.db.migrations.exceptions import IrreversibleError

    for operation, _work in steps:
        if not operation.reversible:
            raise IrreversibleError(f"Operation {operation} in {migration} is not reversible")


def steps_forwards(migration, state, editor):
    """Return (operation, what does it) in order, and the state after the last one."""
    steps = []
    for operation in migration.operations:
        before, state = state, state.clone()
        operation.state_forwards(migration.app_label, state)

        def work(operation=operation, before=before, after=state):
            operation.database_forwards(migration.app_label, editor, before, after)

        steps.append((operation, work))
    return steps, state


def steps_backwards(migration, state, editor):
    """Return (operation, what takes it back) in the order they are taken back, and the state before the first."""
    steps = []  # type: list[tuple[object, object]]
    after = state
    for operation in migration.operations:
        before, after = after, after.clone()
        operation.state_forwards(migration.app_label, after)

        def work(operation=operation, before=before, after=after):
            operation.database_backwards(migration.app_label, editor, after, before)

        steps.insert(0, (operation, work))
    return steps, state
