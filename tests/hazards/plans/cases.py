"""The cases: operations on a model with the placeholders {M} and {m}, and what the check has to say of them.

``big``: what is expected where the model's table is large: verdict, work, and findings with their severity; {t} is its
table, {o} its parent's. Where the table is small there may be the same findings as information, where it is empty or
new none of those about locks and work.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["CASES", "OLD_RELEASE", "Case"]

ALL = ("Big", "Small", "Empty", "Fresh")


@dataclass(frozen=True)
class Case:
    name: str
    operations: str
    verdict: str = "safe"
    work: tuple[str, ...] = ()
    findings: dict[str, str] = field(default_factory=dict)
    atomic: bool = True
    models: tuple[str, ...] = ALL
    runs: bool = True
    """Whether the statements can be run on the base: False for those that are known to fail."""
    since: tuple[int, int] = (3, 2)
    """The first Django that knows the operation."""

    def migration(self, model: str) -> str:
        return f"0002_{self.name}_{model.lower()}"

    def __str__(self) -> str:
        return self.name


def add(name: str, field: str) -> str:
    return f'migrations.AddField("{{M}}", "{name}", {field}),'


def alter(name: str, field: str) -> str:
    return f'migrations.AlterField("{{M}}", "{name}", {field}),'


def sql(statement: str, reverse: str = "migrations.RunSQL.noop") -> str:
    return f'migrations.RunSQL("""{statement}""", {reverse}),'


SCAN, REWRITE, BUILD = "scan:{t}", "rewrite:{t}", "index build:{t}"
ERROR, WARNING, INFO = "error", "warning", "info"

CASES = (
    # Tables
    Case("create_model", 'migrations.CreateModel("New", fields=[("id", models.BigAutoField(primary_key=True))]),'),
    Case(
        "create_model_with_key",
        'migrations.CreateModel("New", fields=[("id", models.BigAutoField(primary_key=True)), '
        '("to", models.ForeignKey("shop.{M}", models.CASCADE))]),',
    ),
    Case(
        "create_with_many",
        'migrations.CreateModel("New", fields=[("id", models.BigAutoField(primary_key=True)), '
        '("to", models.ManyToManyField("shop.{M}"))]),',
    ),
    Case("delete_model", 'migrations.DeleteModel("{M}"),', findings={"MK208": WARNING, "MK217": WARNING}),
    Case(  # Django makes the foreign keys of a many-to-many table anew
        "rename_model",
        'migrations.RenameModel("{M}", "Other"),',
        "unsafe",
        ("scan:shop_other", "scan:shop_other_peers"),
        {"MK205": WARNING, "MK208": WARNING, "MK214": ERROR, "MK217": WARNING},
    ),
    Case("alter_table_name", 'migrations.AlterModelTable("{M}", "shop_elsewhere_now"),', findings={"MK217": WARNING}),
    Case("alter_options", 'migrations.AlterModelOptions("{M}", options={"ordering": ["code"]}),'),
    Case("alter_managers", 'migrations.AlterModelManagers("{M}", managers=[]),'),
    Case("add_proxy", 'migrations.CreateModel("Seen", fields=[], options={"proxy": True}, bases=("shop.{m}",)),'),
    Case("unmanaged", 'migrations.AddField("Elsewhere", "n", models.IntegerField(default=1)),', models=("Big",)),
    # New columns
    Case("add_null", add("new", "models.IntegerField(null=True)")),
    Case("add_default", add("new", "models.CharField(max_length=9, default='x')")),
    Case("add_text_default", add("new", "models.TextField(default='', blank=True)")),
    Case("add_bool", add("new", "models.BooleanField(default=False)")),
    Case("add_json", add("new", "models.JSONField(default=dict)")),
    Case(
        "add_positive_null",
        add("new", "models.PositiveIntegerField(null=True)"),
        "unsafe",
        (SCAN,),
        {"MK204": ERROR},
    ),
    Case(
        "add_positive_default",
        add("new", "models.PositiveSmallIntegerField(default=1)"),
        "unsafe",
        (SCAN,),
        {"MK204": ERROR},
    ),
    Case(
        "add_unique",
        add("new", "models.CharField(max_length=9, null=True, unique=True)"),
        "unsafe",
        (SCAN, BUILD),
        {"MK201": WARNING, "MK207": ERROR, "MK214": ERROR},
    ),
    Case(
        "add_indexed",
        add("new", "models.IntegerField(null=True, db_index=True)"),
        "unsafe",
        (SCAN, BUILD),
        {"MK201": WARNING, "MK214": ERROR},
    ),
    Case(
        "add_key_null",
        add("new", 'models.ForeignKey("shop.{M}Owner", models.CASCADE, null=True, related_name="+")'),
        "unsafe",
        (SCAN, BUILD),
        {"MK201": WARNING, "MK214": ERROR},
    ),
    Case(
        "add_key_no_index",
        add(
            "new",
            'models.ForeignKey("shop.{M}Owner", models.CASCADE, null=True, db_index=False, related_name="+")',
        ),
    ),
    Case(
        "add_key_default",
        add("new", 'models.ForeignKey("shop.{M}Owner", models.CASCADE, default=1, db_index=False, related_name="+")'),
        "unsafe",
        (SCAN, "scan:{o}"),
        {"MK205": ERROR},
        models=("Big", "Small"),
    ),
    Case(
        "add_key_unconstrained",
        add(
            "new",
            'models.ForeignKey("shop.{M}Owner", models.CASCADE, null=True, db_constraint=False, '
            'db_index=False, related_name="+")',
        ),
    ),
    Case("add_many", add("new", 'models.ManyToManyField("shop.{M}Owner", related_name="+")')),
    Case("add_uuid", add("new", "models.UUIDField(default=uuid.uuid4)"), findings={"MK407": WARNING}),
    Case(
        "add_uuid_unique",
        add("new", "models.UUIDField(default=uuid.uuid4, unique=True)"),
        "unsafe",
        (SCAN, BUILD),
        {"MK207": ERROR, "MK407": ERROR},
        runs=False,
    ),
    Case(
        "add_own_callable",
        add("new", "models.CharField(max_length=9, default=data.stamp)"),
        findings={"MK407": WARNING},
    ),
    Case(
        "add_now",
        add("new", "models.DateTimeField(auto_now_add=True)"),
    ),
    Case("add_db_default", add("new", "models.IntegerField(db_default=1)"), since=(5, 0)),
    Case("add_db_default_now", add("new", "models.DateTimeField(db_default=functions.Now())"), since=(5, 0)),
    Case(
        "add_db_default_random",
        add("new", "models.FloatField(db_default=functions.Random())"),
        "unsafe",
        (SCAN, REWRITE, BUILD),
        {"MK213": ERROR},
        since=(5, 0),
    ),
    Case(
        "add_generated",
        add(
            "new",
            "models.GeneratedField(expression=models.F('rank') + 1, output_field=models.IntegerField(), "
            "db_persist=True)",
        ),
        "unsafe",
        (SCAN, REWRITE, BUILD),
        {"MK213": ERROR},
        since=(5, 0),
    ),
    Case("remove_field", 'migrations.RemoveField("{M}", "note"),', models=("Small", "Empty", "Fresh")),
    Case("remove_field_of_index", 'migrations.RemoveField("{M}", "made"),'),
    Case("remove_key", 'migrations.RemoveField("{M}", "owner"),', findings={"MK208": WARNING}),
    Case("remove_key_unconstrained", 'migrations.RemoveField("{M}", "helper"),'),
    Case("remove_many", 'migrations.RemoveField("{M}", "peers"),', findings={"MK208": WARNING}),
    Case("rename_field", 'migrations.RenameField("{M}", "title", "headline"),'),
    # Changed columns
    Case(
        "widen",
        alter("title", "models.CharField(max_length=200)"),
        "unsafe",
        (SCAN, BUILD),
        {"MK209": ERROR, "MK211": INFO},
    ),
    Case(
        "widen_expression_index",
        alter("state", "models.CharField(max_length=20)"),
        "unsafe",
        (SCAN, BUILD),
        {"MK209": ERROR, "MK211": INFO},
    ),
    Case(
        "widen_plain_index", alter("code", "models.CharField(max_length=40, db_index=True)"), findings={"MK211": INFO}
    ),
    Case(
        "narrow",
        alter("title", "models.CharField(max_length=60)"),
        "unsafe",
        (SCAN, REWRITE, BUILD),
        {"MK202": ERROR, "MK211": INFO},
    ),
    Case("to_text", alter("title", "models.TextField()"), "unsafe", (SCAN, BUILD), {"MK209": ERROR, "MK211": INFO}),
    Case(
        "to_bigint",
        alter("rank", "models.BigIntegerField()"),
        "unsafe",
        (SCAN, REWRITE, BUILD),
        {"MK202": ERROR, "MK211": INFO},
    ),
    Case(
        "check_again", alter("amount", "models.DecimalField(max_digits=12, decimal_places=2)"), findings={"MK211": INFO}
    ),
    Case(
        "more_decimals",
        alter("amount", "models.DecimalField(max_digits=12, decimal_places=4)"),
        "unsafe",
        (SCAN, REWRITE, BUILD),
        {"MK202": ERROR, "MK211": INFO},
    ),
    Case(
        "viewed_type",
        alter("qty", "models.BigIntegerField(null=True)"),
        "unsafe",
        (SCAN, REWRITE, BUILD),
        {"MK202": ERROR, "MK211": INFO, "MK219": ERROR},
        models=("Big",),
        runs=False,
    ),
    Case("set_not_null", alter("note", "models.TextField()"), "unsafe", (SCAN,), {"MK203": ERROR}),
    Case("set_not_null_proven", alter("made", "models.DateTimeField()"), models=("Big",)),
    Case(
        "set_not_null_default",
        alter("qty", "models.IntegerField(default=0)"),
        "unsafe",
        (SCAN, "change rows:{t}"),
        {"MK203": ERROR, "MK214": ERROR, "MK220": WARNING},
    ),
    Case("drop_not_null", alter("rank", "models.IntegerField(null=True)")),
    Case("to_positive", alter("rank", "models.PositiveIntegerField()"), "unsafe", (SCAN,), {"MK206": ERROR}),
    Case("from_positive", alter("size", "models.IntegerField()")),
    Case(
        "index_a_field",
        alter("amount", "models.DecimalField(max_digits=8, decimal_places=2, db_index=True)"),
        "unsafe",
        (SCAN, BUILD),
        {"MK201": WARNING},
    ),
    Case(
        "index_a_text",
        alter("title", "models.CharField(max_length=100, db_index=True)"),
        "unsafe",
        (SCAN, BUILD),
        {"MK201": WARNING, "MK214": WARNING},
    ),
    Case("unindex_a_field", alter("code", "models.CharField(max_length=20)")),
    Case(
        "unique_a_field",
        alter("code", "models.CharField(max_length=20, unique=True)"),
        "unsafe",
        (SCAN, BUILD),
        {"MK201": WARNING, "MK207": ERROR, "MK214": ERROR},
    ),
    Case("not_unique", alter("email", "models.CharField(max_length=50)")),
    Case("key_to_integer", alter("owner", "models.IntegerField(db_column='owner_id')"), findings={"MK208": WARNING}),
    Case(
        "integer_to_key",
        alter("helper", 'models.ForeignKey("shop.{M}Owner", models.CASCADE, null=True, related_name="+")'),
        "unsafe",
        (SCAN, "scan:{o}"),
        {"MK205": WARNING},
    ),
    Case("default_only", alter("rank", "models.IntegerField(default=3)")),
    Case("choices_only", alter("state", "models.CharField(max_length=10, choices=[('a', 'A')])")),
    Case("column_name", alter("title", "models.CharField(max_length=100, db_column='headline')")),
    Case(  # an index that no migration tells of has the column in its condition
        "collation",
        alter("note", 'models.TextField(null=True, db_collation="C")'),
        "unsafe",
        (SCAN, BUILD),
        {"MK209": ERROR, "MK211": INFO},
    ),
    Case(  # Django says the type again
        "comment",
        alter("note", "models.TextField(null=True, db_comment='what was said')"),
        "unsafe",
        (SCAN, BUILD),
        {"MK209": ERROR, "MK211": INFO},
        since=(4, 2),
    ),
    Case(
        "comment_only",
        alter("made", "models.DateTimeField(null=True, db_comment='when')"),
        "unsafe",
        (SCAN,),
        {"MK210": ERROR, "MK211": INFO},
        since=(4, 2),
    ),
    Case("db_default", alter("rank", "models.IntegerField(db_default=0)"), since=(5, 0)),
    Case(
        "key_to_bigint",
        'migrations.AlterField("{M}Owner", "id", models.BigAutoField(primary_key=True)),',
        "unsafe",
        (SCAN, REWRITE, BUILD, "scan:{o}", "rewrite:{o}", "index build:{o}"),
        {
            "MK202": ERROR,
            "MK205": WARNING,
            "MK208": WARNING,
            "MK211": INFO,
            "MK212": ERROR,
            "MK214": ERROR,
            "MK217": WARNING,
        },
    ),
    Case(
        "key_to_integer_type",
        'migrations.AlterField("{M}", "id", models.AutoField(primary_key=True)),',
        "unsafe",
        (SCAN, REWRITE, BUILD, "scan:{t}_peers", "rewrite:{t}_peers", "index build:{t}_peers"),
        {
            "MK202": ERROR,
            "MK205": WARNING,
            "MK208": WARNING,
            "MK211": INFO,
            "MK212": ERROR,
            "MK214": ERROR,
            "MK217": WARNING,
        },
    ),
    # Indexes and constraints
    Case(
        "add_index",
        'migrations.AddIndex("{M}", models.Index(fields=["rank"], name="new_ix")),',
        "unsafe",
        (SCAN, BUILD),
        {"MK201": WARNING},
    ),
    Case(
        "add_expression_index",
        'migrations.AddIndex("{M}", models.Index(functions.Upper("title"), name="new_ix")),',
        "unsafe",
        (SCAN, BUILD),
        {"MK201": WARNING},
    ),
    Case(
        "add_index_concurrently",
        'pg.AddIndexConcurrently("{M}", models.Index(fields=["rank"], name="new_ix")),',
        "safe",
        (SCAN, BUILD),
        {"MK216": INFO},
        atomic=False,
    ),
    Case(
        "concurrently_in_a_transaction",
        'pg.AddIndexConcurrently("{M}", models.Index(fields=["rank"], name="new_ix")),',
        "safe",
        (SCAN, BUILD),
        {"MK215": ERROR, "MK216": INFO},
        runs=False,
    ),
    Case("remove_index", 'migrations.RemoveIndex("{M}", "{m}_amount_ix"),'),
    Case("remove_index_concurrently", 'pg.RemoveIndexConcurrently("{M}", "{m}_amount_ix"),', atomic=False),
    Case("rename_index", 'migrations.RenameIndex("{M}", new_name="other_ix", old_name="{m}_amount_ix"),', since=(4, 1)),
    Case(
        "add_unique_together",
        'migrations.AlterUniqueTogether("{M}", {("owner", "code"), ("owner", "email")}),',
        "unsafe",
        (SCAN, BUILD),
        {"MK207": ERROR},
    ),
    Case("remove_unique_together", 'migrations.AlterUniqueTogether("{M}", set()),'),
    Case(
        "add_unique_constraint",
        'migrations.AddConstraint("{M}", models.UniqueConstraint(fields=["code", "title"], name="new_uq")),',
        "unsafe",
        (SCAN, BUILD),
        {"MK207": ERROR},
    ),
    Case(
        "add_partial_unique",
        'migrations.AddConstraint("{M}", models.UniqueConstraint(fields=["code"], condition=models.Q(qty=1), '
        'name="new_uq")),',
        "unsafe",
        (SCAN, BUILD),
        {"MK201": WARNING},
    ),
    Case(
        "add_check",
        'migrations.AddConstraint("{M}", models.CheckConstraint({check}=models.Q(size__gte=0), name="new_ck")),',
        "unsafe",
        (SCAN,),
        {"MK206": ERROR},
    ),
    Case(
        "add_check_not_valid",
        'pg.AddConstraintNotValid("{M}", models.CheckConstraint({check}=models.Q(size__gte=0), name="new_ck")),',
        since=(4, 0),
    ),
    Case(
        "validate_check",
        'pg.AddConstraintNotValid("{M}", models.CheckConstraint({check}=models.Q(size__gte=0), name="new_ck")),\n'
        'pg.ValidateConstraint("{M}", "new_ck"),',
        "unsafe",
        (SCAN,),
        {"MK214": ERROR},
        since=(4, 0),
    ),
    Case(
        "validate_check_apart",
        'pg.AddConstraintNotValid("{M}", models.CheckConstraint({check}=models.Q(size__gte=0), name="new_ck")),\n'
        'pg.ValidateConstraint("{M}", "new_ck"),',
        "safe",
        (SCAN,),
        atomic=False,
        since=(4, 0),
    ),
    Case("remove_check", 'migrations.RemoveConstraint("{M}", "{m}_rank_ck"),'),
    Case("remove_unique", 'migrations.RemoveConstraint("{M}", "{m}_code_email_uq"),'),
    # One and its consequences for what comes after it
    Case(
        "add_then_fill",
        add("new", "models.IntegerField(null=True)") + sql("UPDATE shop_{m} SET new = 1"),
        "unsafe",
        (SCAN, "change rows:{t}"),
        {"MK214": ERROR, "MK220": WARNING},
    ),
    Case(
        "add_then_index",
        add("new", "models.IntegerField(null=True)")
        + 'migrations.AddIndex("{M}", models.Index(fields=["new"], name="new_ix")),',
        "unsafe",
        (SCAN, BUILD),
        {"MK201": WARNING, "MK214": ERROR},
    ),
    Case(
        "two_tables",
        add("new", "models.IntegerField(null=True)")
        + 'migrations.AddField("{M}Owner", "new", models.IntegerField(null=True)),',
        findings={"MK217": WARNING},
    ),
    Case(
        "rename_then_index",
        'migrations.RenameModel("{M}", "Other"),'
        'migrations.AddIndex("Other", models.Index(fields=["rank"], name="new_ix")),',
        "unsafe",
        ("scan:shop_other", "scan:shop_other_peers", "index build:shop_other"),
        {"MK201": WARNING, "MK205": WARNING, "MK208": WARNING, "MK214": ERROR, "MK217": WARNING},
    ),
    Case(
        "separate_state",
        'migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("{M}", "note")]),',
    ),
    Case(
        "separate_database",
        'migrations.SeparateDatabaseAndState(database_operations=[migrations.AddIndex("{M}", '
        'models.Index(fields=["rank"], name="new_ix"))]),',
        "unsafe",
        (SCAN, BUILD),
        {"MK201": WARNING},
    ),
    Case(
        "separate_rename",
        'migrations.SeparateDatabaseAndState(database_operations=[migrations.RunSQL("ALTER TABLE shop_{m} '
        'RENAME COLUMN note TO remark", "ALTER TABLE shop_{m} RENAME COLUMN remark TO note")], '
        'state_operations=[migrations.RenameField("{M}", "note", "remark")]),',
    ),
    # Raw SQL
    Case("sql_index", sql("CREATE INDEX new_ix ON shop_{m} (rank)"), "unsafe", (SCAN, BUILD), {"MK201": WARNING}),
    Case(
        "sql_index_concurrently",
        sql("CREATE INDEX CONCURRENTLY new_ix ON shop_{m} (rank)"),
        "safe",
        (SCAN, BUILD),
        {"MK216": INFO},
        atomic=False,
    ),
    Case(
        "sql_index_after_drop",
        sql("DROP INDEX CONCURRENTLY IF EXISTS new_ix") + sql("CREATE INDEX CONCURRENTLY new_ix ON shop_{m} (rank)"),
        "safe",
        (SCAN, BUILD),
        atomic=False,
    ),
    Case(
        "sql_index_if_not_exists",
        sql("CREATE INDEX CONCURRENTLY IF NOT EXISTS new_ix ON shop_{m} (rank)"),
        "safe",
        (SCAN, BUILD),
        {"MK216": WARNING},
        atomic=False,
    ),
    Case(
        "sql_no_reverse",
        sql("ALTER TABLE shop_{m} ALTER COLUMN note SET STATISTICS 500", "None"),
        findings={"MK412": WARNING},
    ),
    Case(
        "sql_update", sql("UPDATE shop_{m} SET rank = rank + 1"), "safe", (SCAN, "change rows:{t}"), {"MK220": WARNING}
    ),
    Case(
        "sql_two",
        sql("ALTER TABLE shop_{m} ADD COLUMN extra int; CREATE INDEX new_ix ON shop_{m} (extra);"),
        "unsafe",
        (SCAN, BUILD),
        {"MK201": WARNING, "MK214": ERROR},
    ),
    Case("sql_truncate", sql("TRUNCATE shop_{m}_peers")),
    Case("sql_unknown", sql("DO $$ BEGIN PERFORM 1; END $$"), "unknown", findings={"MK411": WARNING}),
    Case("sql_select_from", sql("SELECT count(*) FROM shop_{m}"), "unknown", findings={"MK411": WARNING}),
    Case("sql_reindex", sql("REINDEX INDEX {m}_amount_ix"), "unsafe", (SCAN, BUILD), {"MK218": WARNING}),
    Case(
        "sql_logged",
        sql("ALTER TABLE shop_{m}_peers SET UNLOGGED"),
        "unsafe",
        ("scan:{t}_peers", "rewrite:{t}_peers", "index build:{t}_peers"),
        {"MK218": ERROR},
    ),
    Case(
        "sql_cluster", sql("CLUSTER shop_{m} USING {m}_amount_ix"), "unsafe", (SCAN, REWRITE, BUILD), {"MK218": ERROR}
    ),
    Case(
        "sql_volatile",
        sql("ALTER TABLE shop_{m} ADD COLUMN extra uuid DEFAULT gen_random_uuid()"),
        "unsafe",
        (SCAN, REWRITE, BUILD),
        {"MK213": ERROR},
    ),
    Case(
        "sql_using_index",
        sql("CREATE UNIQUE INDEX CONCURRENTLY new_uq ON shop_{m} (code)")
        + sql("ALTER TABLE shop_{m} ADD CONSTRAINT new_uq UNIQUE USING INDEX new_uq"),
        "safe",
        (SCAN, BUILD),
        {"MK216": INFO},
        atomic=False,
    ),
    Case(
        "sql_key_not_valid",
        sql(
            "ALTER TABLE shop_{m} ADD CONSTRAINT new_fk FOREIGN KEY (helper_id) REFERENCES shop_{m}owner (id) NOT VALID"
        ),
    ),
    # Python
    Case(
        "python_by_row",
        "migrations.RunPython(data.by_row, migrations.RunPython.noop),",
        "unknown",
        (SCAN, "change rows:{t}"),
        {"MK404": WARNING},
        models=("Big",),
        runs=False,
    ),
    Case(
        "python_at_once",
        "migrations.RunPython(data.at_once, migrations.RunPython.noop),",
        "unknown",
        (SCAN, "change rows:{t}"),
        {"MK404": WARNING},
        models=("Big",),
        runs=False,
    ),
    Case(
        "python_batched",
        "migrations.RunPython(data.batched, migrations.RunPython.noop),",
        "unknown",
        (SCAN, "change rows:{t}"),
        models=("Big",),
        runs=False,
    ),
    Case(
        "python_direct",
        "migrations.RunPython(data.direct),",
        "unknown",
        (),
        {"MK401": WARNING, "MK402": WARNING, "MK403": INFO},
        models=("Big",),
        runs=False,
    ),
    Case(
        "python_hidden",
        "migrations.RunPython(data.hidden, migrations.RunPython.noop),",
        "unknown",
        (),
        {"MK406": WARNING},
        models=("Big",),
        runs=False,
    ),
    Case("python_noop", "migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop),"),
    Case(
        "python_mixed",
        add("new", "models.IntegerField(null=True)") + "migrations.RunPython(data.at_once, migrations.RunPython.noop),",
        "unsafe",
        (SCAN, "change rows:{t}"),
        {"MK214": ERROR, "MK404": WARNING, "MK405": WARNING},
        models=("Big",),
        runs=False,
    ),
    # What is not Django's
    Case("custom", "custom.Ping(),", "unknown", findings={"MK421": INFO}, models=("Big",)),
    Case("custom_asks", "custom.Asks(),", "unknown", findings={"MK422": WARNING}, models=("Big",), runs=False),
    Case("extension", 'pg.CreateExtension("citext"),', models=("Big",)),
    Case(
        "raises",
        'migrations.RemoveIndex("{M}", "no_such_index"),',
        "unknown",
        findings={"MK422": WARNING},
        models=("Big",),
        runs=False,
    ),
)

# What the running release would run into where the table was there before: verdict and findings. Of the other cases it
# is safe, or unknown where the statements are.
OLD_RELEASE = {
    "delete_model": ("unsafe", {"MK303", "MK305"}),
    "rename_model": ("unsafe", {"MK302", "MK304"}),
    "alter_table_name": ("unsafe", {"MK304"}),
    "add_default": ("unsafe", {"MK306"}),
    "add_text_default": ("unsafe", {"MK306"}),
    "add_bool": ("unsafe", {"MK306"}),
    "add_json": ("unsafe", {"MK306"}),
    "add_positive_default": ("unsafe", {"MK306"}),
    "add_key_default": ("unsafe", {"MK306"}),
    "add_uuid": ("unsafe", {"MK306"}),
    "add_uuid_unique": ("unsafe", {"MK306"}),
    "add_own_callable": ("unsafe", {"MK306"}),
    "add_now": ("unsafe", {"MK306"}),
    "remove_field_of_index": ("unsafe", {"MK301"}),
    "remove_key": ("unsafe", {"MK301"}),
    "remove_key_unconstrained": ("unsafe", {"MK301"}),
    "remove_many": ("unsafe", {"MK305"}),
    "rename_field": ("unsafe", {"MK302"}),
    "widen": ("safe", {"MK310"}),
    "widen_expression_index": ("safe", {"MK310"}),
    "widen_plain_index": ("safe", {"MK310"}),
    "narrow": ("unsafe", {"MK310", "MK311"}),
    "to_text": ("safe", {"MK310"}),
    "to_bigint": ("safe", {"MK310"}),
    "check_again": ("safe", {"MK310"}),
    "more_decimals": ("safe", {"MK310"}),
    "viewed_type": ("safe", {"MK310"}),
    "set_not_null": ("unsafe", {"MK309"}),
    "set_not_null_proven": ("unsafe", {"MK309"}),
    "set_not_null_default": ("unsafe", {"MK309"}),
    "to_positive": ("safe", {"MK312"}),
    "unique_a_field": ("safe", {"MK312"}),
    "not_unique": ("safe", {"MK318"}),
    "integer_to_key": ("safe", {"MK312"}),
    "column_name": ("unsafe", {"MK302"}),
    "key_to_bigint": ("safe", {"MK310"}),
    "key_to_integer_type": ("unsafe", {"MK310", "MK311"}),
    "add_unique_together": ("safe", {"MK312"}),
    "remove_unique_together": ("safe", {"MK318"}),
    "add_unique_constraint": ("safe", {"MK312"}),
    "add_partial_unique": ("safe", {"MK312"}),
    "add_check": ("safe", {"MK312"}),
    "add_check_not_valid": ("safe", {"MK312"}),
    "validate_check": ("safe", {"MK312"}),
    "validate_check_apart": ("safe", {"MK312"}),
    "remove_unique": ("safe", {"MK318"}),
    "rename_then_index": ("unsafe", {"MK302", "MK304"}),
    "separate_rename": ("unsafe", {"MK302"}),
    "sql_using_index": ("safe", {"MK312"}),
    "sql_key_not_valid": ("safe", {"MK312"}),
}
