"""Read one function of a RunPython: which models it uses, how, and in which database."""

import ast
import sys
import types
import typing

ROW_BY_ROW = ("save", "delete", "asave", "adelete")
WHOLE = ("update", "delete")
MANAGERS = ("objects", "_default_manager", "_base_manager")


class Chain:
    """What an expression like ``Item.objects.using(a).filter(…)`` starts from, and the names along it."""

    def __init__(self, label, names, line, using=False):
        self.label = label
        self.names = names
        self.line = line
        self.using = using

    @property
    def is_query(self):
        return any(each in MANAGERS for each in self.names)

    def then(self, name, using=False):
        return Chain(self.label, [*self.names, name], self.line, self.using or using)


class Reader(ast.NodeVisitor):
    """Read one function; what is found goes into ``facts``, plain functions that it calls into ``called``."""

    def __init__(self, function, node, facts, state):
        self.function = function
        self.node = node
        self.facts = facts
        self.state = state
        self.called = []
        self.names = {}
        self.rows = []
        self.loops = 0
        self.counted = set()

    def read(self):
        body = self.node.body if isinstance(self.node.body, list) else [self.node.body]
        for each in body:
            self.visit(each)

    # What names stand for.

    def value_of(self, name):
        """Return what a name stands for in the function's module or around it, None where that is not known."""
        code, closure = self.function.__code__, self.function.__closure__ or ()
        for free, cell in zip(code.co_freevars, closure):
            if free == name:
                try:
                    return cell.cell_contents
                except ValueError:
                    return None
        return self.function.__globals__.get(name)

    def chain_of(self, node):
        """Return the chain that an expression is, None where it starts from nothing that is known to be a model."""
        if isinstance(node, ast.Name):
            if node.id in self.names:
                found = self.names[node.id]
                return Chain(found.label, list(found.names), node.lineno, found.using) if found is not None else None
            label = self.direct(self.value_of(node.id), node.lineno)
            return Chain(label, [], node.lineno) if label else None
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id not in self.names:
                module = self.value_of(node.value.id)
                if isinstance(module, types.ModuleType):
                    label = self.direct(getattr(module, node.attr, None), node.lineno)
                    return Chain(label, [], node.lineno) if label else None
            base = self.chain_of(node.value)
            return base.then(node.attr) if base is not None else None
        if isinstance(node, ast.Call):
            gotten = self.gotten_model(node)
            if gotten is not None:
                return Chain(gotten, [], node.lineno)
            base = self.chain_of(node.func)
            if base is None:
                return None
            using = any(each.arg == "using" for each in node.keywords) or base.names[-1:] in (["using"], ["db_manager"])
            return Chain(base.label, base.names, base.line, base.using or using)
        if isinstance(node, ast.Subscript):
            base = self.chain_of(node.value)
            return base.then("[]") if base is not None else None
        return None

    def gotten_model(self, node):
        """Return the label in ``apps.get_model("app", "Model")``, and the user model that is got directly."""
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        texts: typing.Any = [
            each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)
        ]
        texts += [
            each.value.value
            for each in node.keywords
            if each.arg in ("app_label", "model_name") and isinstance(each.value, ast.Constant)
        ]
        if name == "get_user_model" and not node.args:
            from django.conf import settings

            self.note_direct(settings.AUTH_USER_MODEL, node.lineno)
            return settings.AUTH_USER_MODEL
        if name != "get_model" or not texts or not isinstance(node.func, ast.Attribute):
            return None
        parts = texts[0].split(".") if len(texts) == 1 else texts[:2]
        if len(parts) != 2:
            return None
        label = self.known_label(*parts)
        owner = node.func.value
        if isinstance(owner, ast.Name) and not self.is_argument(owner.id):
            from django.apps import apps

            if self.value_of(owner.id) is apps:
                self.note_direct(label, node.lineno)
        table = self.table(label)
        self.facts["models"].append({"label": label, "table": table})
        return label

    def is_argument(self, name):
        return name in [each.arg for each in self.node.args.args]

    def known_label(self, app, model):
        found = self.state.models.get((app, model.lower()))
        return f"{app}.{found.name if found is not None else model}"

    def table(self, label):
        app, _dot, model = label.partition(".")
        try:
            return self.state.apps.get_model(app, model)._meta.db_table
        except LookupError:
            return None

    def direct(self, value, line):
        """Return a model's label, and note it, when a value is a model class of the code as it is now."""
        from django.apps import apps
        from django.db.models import Model

        if not (isinstance(value, type) and issubclass(value, Model)):
            return None
        meta = getattr(value, "_meta")  # noqa: B009 (mypy knows no more of it than that it is a class)
        if meta.abstract:
            return None
        if meta.apps is apps:
            self.note_direct(meta.label, line)
        return meta.label

    def note_direct(self, label, line):
        self.facts["direct_models"].append({"model": label, "line": line})

    # Statements and expressions.

    def visit_ImportFrom(self, node):
        module = sys.modules.get(node.module or "") if not node.level else None
        if node.level:
            package = self.function.__globals__.get("__package__") or ""
            parts = package.split(".")[: len(package.split(".")) - node.level + 1]
            module = sys.modules.get(".".join(parts + ([node.module] if node.module else [])))
        for alias in node.names:
            value = getattr(module, alias.name, None) if module is not None else None
            label = self.direct(value, node.lineno)
            if label:
                self.names[alias.asname or alias.name] = Chain(label, [], node.lineno)
            elif isinstance(value, types.FunctionType):
                self.follow(value)

    def visit_Assign(self, node):
        self.visit(node.value)
        chain = self.chain_of(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.names[target.id] = chain
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                for each, value in zip(target.elts, node.value.elts):
                    if isinstance(each, ast.Name):
                        self.names[each.id] = self.chain_of(value)

    def visit_For(self, node):
        self.visit(node.iter)
        chain = self.chain_of(node.iter)
        over_rows = chain is not None and chain.is_query
        if over_rows:
            self.check_using(chain)
            if "[]" not in chain.names:
                what = "read in chunks" if "iterator" in chain.names else "loaded whole"
                self.note_whole(what, chain, node.lineno)
        target = node.target.id if isinstance(node.target, ast.Name) else None
        if target is not None:
            self.names[target] = Chain(chain.label, ["row"], node.lineno, True) if over_rows else None
        self.rows.append((target, chain) if over_rows else None)
        self.loops += not over_rows
        for each in node.body + node.orelse:
            self.visit(each)
        self.rows.pop()
        self.loops -= not over_rows

    visit_AsyncFor = visit_For

    def visit_While(self, node):
        self.visit(node.test)
        self.loops += 1
        for each in node.body + node.orelse:
            self.visit(each)
        self.loops -= 1

    def visit_Call(self, node):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        chain = self.chain_of(node)
        if chain is not None and chain.is_query:
            self.check_using(chain)
            in_rows = any(self.rows)
            if name in WHOLE and "get" not in chain.names:
                batched = bool(self.loops) or "[]" in chain.names
                self.note_whole(f"{name}, a row at a time" if in_rows else name, chain, node.lineno, batched)
        elif chain is not None and chain.names[:1] == ["row"] and name in ROW_BY_ROW:
            self.note_whole(f"{name}, a row at a time", chain, node.lineno)
        if name == "execute" and isinstance(node.func, ast.Attribute):
            self.facts["raw_sql"] = True
        value = self.value_of(node.func.id) if isinstance(node.func, ast.Name) else None
        if isinstance(value, types.FunctionType):
            self.follow(value)
        self.generic_visit(node)

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Load) and node.id not in self.names and not self.is_argument(node.id):
            self.direct(self.value_of(node.id), node.lineno)

    def visit_Attribute(self, node):
        if self.chain_of(node) is None:
            self.generic_visit(node)

    def follow(self, function):
        """Read on in a function of the project's own."""
        module = getattr(function, "__module__", None) or ""
        path = function.__code__.co_filename
        if not module.startswith("django.") and "site-packages" not in path and "dist-packages" not in path:
            self.called.append(function)

    def check_using(self, chain):
        """Note a query that does not name its database."""
        if not chain.using and not {"using", "db_manager"} & set(chain.names):
            self.facts["without_using"].append(chain.line)

    def note_whole(self, what, chain, line, batched=False):
        self.facts["whole"].append(
            {"line": line, "what": what, "label": chain.label, "table": self.table(chain.label), "batched": batched}
        )
