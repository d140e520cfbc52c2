"""Every kind of finding: its id, which never changes, and what it says in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["FINDINGS"]

FINDINGS: Mapping[str, str] = MappingProxyType(
    {
        # What the files say: check_generated
        "MK100": "The new migrations could not be checked.",
        "MK101": "A field is narrowed: rows that do not fit make the migration fail, or are cut.",
        "MK102": "A column changes to another type: every value has to convert.",
        "MK103": "A column becomes NOT NULL: a single NULL left in it makes the migration fail.",
        "MK111": "A column, or the table of a many-to-many relation, is dropped with its values.",
        "MK112": "A table is dropped with its rows.",
        "MK113": "A field is removed and one of the same kind added: that looks like a rename.",
        "MK120": "The migrations, with the new ones, cannot be loaded.",
        "MK121": "A migration depends on one that has no file.",
        "MK122": "A migration depends on one of another app that is not applied.",
        "MK123": "A field refers to a model whose migration is not depended on.",
        # Locks, and work under them
        "MK201": "An index is built while writes to its table wait.",
        "MK202": "A change of type rewrites the table while nobody can use it.",
        "MK203": "SET NOT NULL reads the whole table while nobody can use it.",
        "MK204": "A column that brings a CHECK with it (PositiveIntegerField does) makes every row be checked.",
        "MK205": "A foreign key is checked for every row while writes to both tables wait.",
        "MK206": "A CHECK is tried on every row while nobody can use the table.",
        "MK207": "A unique, primary key or exclusion constraint builds its index while nobody can use the table.",
        "MK208": "Dropping a foreign key, its column or its table locks the parent table too.",
        "MK209": "A change of type that is free by itself rebuilds an index while nobody can use the table.",
        "MK210": "A change of type that is free by itself has a CHECK or a foreign key tried on every row again.",
        "MK211": "A change of type drops the column's statistics: plans may be bad until ANALYZE.",
        "MK212": "A change of a key's type rewrites a table that refers to it.",
        "MK213": "A new column with a value of its own for each row rewrites the table.",
        "MK214": "A lock of one statement is held while another statement of the transaction works through a table.",
        "MK215": "A statement that refuses to run in a transaction is in one: the migration fails.",
        "MK216": "A concurrent index build that failed leaves an invalid index, which nothing here removes.",
        "MK217": "One transaction locks several large tables.",
        "MK218": "A maintenance statement works through the table while it is locked.",
        "MK219": "A statement is known to fail.",
        "MK220": "Rows are changed in one statement: each stays locked until the transaction ends.",
        # What the running release runs into on the schema after the migration: judge_compatibility
        "MK301": "A column is removed that the running release names in every SELECT and INSERT.",
        "MK302": "A column is renamed that the running release names in every SELECT and INSERT.",
        "MK303": "A table is removed that the running release uses.",
        "MK304": "A table is renamed that the running release uses.",
        "MK305": "The table of a many-to-many relation is removed that the running release uses.",
        "MK306": "A NOT NULL column comes without a default in the database: INSERTs that leave it out fail.",
        "MK307": "A NOT NULL column loses what filled it in the database: INSERTs that rely on it fail.",
        "MK308": "A nullable column loses its default in the database: INSERTs that rely on it write NULL.",
        "MK309": "A column takes no NULL any more, which the running release may still write.",
        "MK310": "A column's type changes: statements that the running release has prepared fail once.",
        "MK311": "A column's new type does not take all that its old one took.",
        "MK312": "A new CHECK, unique constraint or foreign key refuses rows that the running release may write.",
        "MK313": "A view is removed or renamed that the running release reads.",
        "MK314": "A view gives something else than the running release was written for.",
        "MK315": "A function, type, sequence or extension is removed or renamed that may be called by its name.",
        "MK316": "A column comes to be generated always: INSERTs that give it a value fail.",
        "MK317": "A trigger acts on what the running release writes.",
        "MK318": "What kept rows unique is removed: an ON CONFLICT of the running release fails.",
        # Code, and what cannot be looked into
        "MK401": "A RunPython has no reverse: the migration cannot be taken back.",
        "MK402": "A RunPython uses a model as it is in the code now, not as it was at this migration.",
        "MK403": "A RunPython does not say which database it means: it uses the default one.",
        "MK404": "A RunPython goes through a whole table at once, or row by row.",
        "MK405": "A RunPython runs in one transaction with schema changes, and holds their locks.",
        "MK406": "What a RunPython does cannot be read from its source.",
        "MK407": "A callable default is called once: every row that is there gets the same value.",
        "MK411": "A raw statement was not recognised: what it locks and does is not known.",
        "MK412": "A RunSQL has no reverse: the migration cannot be taken back.",
        "MK413": "Squawk has something to say about a raw statement.",
        "MK421": "An operation is not Django's own: what it does besides its statements is not known.",
        "MK422": "An operation could not be replayed: what it does is not known.",
        # The check itself
        "MK501": "An ignore rule fits nothing.",
        # What a rehearsal measured on a restored copy
        "MK511": "A lock kept traffic waiting while a migration worked through a table.",
        "MK512": "A lock that keeps traffic waiting was held long, whatever went on meanwhile.",
        "MK521": "A migration failed.",
        "MK522": "A migration cannot be taken back.",
        "MK523": "A migration says that it can be taken back, and that failed.",
        "MK524": "Taken back, or run again after that, a migration leads to another schema.",
        "MK525": "Taken back, a migration has lost rows or values.",
        "MK526": "A change of type changed values, and the way back does not bring them back.",
        "MK531": "A migration tried to reach something else than its own database.",
        "MK532": "What a statement locks and does was not looked at.",
        "MK533": "What runs around the migrations, a signal's handler, failed.",
    }
)
"""Id → what such a finding says. 1xx: the files; 2xx: locks and work; 3xx: what the running release sees; 4xx: code;
50x: the check itself; 51x to 53x: what a rehearsal measured."""
