"""A project state that renders anew only what a change concerns: for replaying, where no query is ever made.

Django renders every model again that is related to a changed one, by way of any number of others, since each class
refers to the classes of its relations. What SQL is written from (tables, columns, types) is found all the same when
only the changed model, those that refer to it and those that inherit from it are made anew.
"""


def light(state):
    """Return the state as one that keeps its models up to date lightly; the one given is not to be used any more."""
    from django.db.migrations.state import AppConfigStub, ProjectState, StateApps
    from django.db.models import Model

    def concerned(model, found):
        """Add a model, its heirs, what refers to it, and what refers to those by a key that is taken from it."""
        key = (model._meta.app_label, model._meta.model_name)
        if key in found:
            return
        found.add(key)
        for heir in model.__subclasses__():
            if issubclass(heir, Model):
                concerned(heir, found)
        for relation in model._meta.get_fields(include_hidden=True):
            if not (relation.is_relation and relation.auto_created and not relation.concrete):
                continue
            other, field = relation.related_model, getattr(relation, "field", None)
            if other is None or isinstance(other, str):
                continue
            if getattr(field, "unique", False) or getattr(field, "primary_key", False):
                concerned(other, found)
            else:
                found.add((other._meta.app_label, other._meta.model_name))

    def copied(apps):
        """Return a copy of a registry, as its own ``clone`` does it, without looking into every model."""
        copy = StateApps([], {})
        copy.all_models.update({label: dict(models) for label, models in apps.all_models.items()})
        for label in apps.app_configs:
            config = AppConfigStub(label)
            config.apps = copy
            config.import_models()
            copy.app_configs[label] = config
        copy.real_models = apps.real_models
        return copy

    class LightState(ProjectState):
        def _find_reload_model(self, app_label, model_name, delay=False):
            found = set()  # type: set[tuple[str, str]]
            try:
                concerned(self.apps.get_model(app_label, model_name), found)
            except LookupError:
                pass
            found.add((app_label, model_name))
            return found

        def clone(self):
            apps = self.__dict__.pop("apps", None)
            try:
                made = super().clone()
            finally:
                if apps is not None:
                    self.__dict__["apps"] = apps
            made.__class__ = type(self)
            if apps is not None:
                made.__dict__["apps"] = copied(apps)
            return made

    state.__class__ = LightState
    return state
