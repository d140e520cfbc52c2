"""``mig-kit check`` on a demo: tables, JSON, annotations, exit codes. Embedded PostgreSQL 18."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

import mig_kit.hazards
from mig_kit.cli.check import github_lines
from mig_kit.demo import Demo
from mig_kit.hazards.assessment import Assessment, MigrationAssessment, Verdict, VerdictKind
from mig_kit.hazards.finding import Finding, Severity
from tests.cli.commands import Cli

SCHEMA = json.loads((Path(mig_kit.hazards.__file__).parent / "assessment.schema.json").read_text("utf-8"))


def write(root: Path, operations: str) -> Path:
    path = root / "backend/apps/blog/migrations/0005_more.py"
    path.write_text(
        "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"
        '    dependencies = [("blog", "0004_category_position_post_status_idx")]\n'
        f"    operations = [\n        {operations},\n    ]\n"
    )
    return path


def test_nothing_pending_is_fine(cli: Cli, demo: Demo) -> None:
    done = cli("check", "--project", demo.root, root=demo.root)
    assert (done.code, done.out) == (0, "Nothing is pending.\n")
    assert done.err.startswith("Note: Looked at postgresql://")


def test_information_alone_is_fine(cli: Cli, copy: Path) -> None:
    write(copy, 'migrations.AddIndex("Post", models.Index(fields=["title"], name="title_ix"))')
    done = cli("check", "--project", copy, root=copy)
    assert done.code == 0
    assert "info MK201: Builds an index: blog_post (" in done.out
    assert done.out.endswith("\n1 migration, no hazard.\n")


def test_a_hazard_is_found(cli: Cli, copy: Path) -> None:
    write(copy, 'migrations.RemoveField("Post", "title")')
    done = cli("check", "blog", "0005", "--project", copy, root=copy)
    assert done.code == 1
    lines = done.out.splitlines()
    assert lines[0].split("  ")[0] == "migration"
    assert "blog.0005_more, Remove field title from Post" in lines
    assert any(line.startswith("error MK301: ") for line in lines)
    assert any(line.startswith("  next: in two releases") for line in lines)
    assert lines[-1] == "1 migration, 1 hazard."


def test_the_code_to_write_instead_is_shown_when_asked_for(cli: Cli, copy: Path) -> None:
    write(copy, 'migrations.AddIndex("Post", models.Index(fields=["title"], name="title_ix"))')
    told = cli("check", "blog", "0005", "--project", copy, "--no-database", root=copy)
    assert "AddIndexConcurrently(" not in told.out
    assert "For 1 finding there are migrations to write instead: --code shows them." in told.err
    shown = cli("check", "blog", "0005", "--project", copy, "--no-database", "--code", root=copy)
    assert '\n        AddIndexConcurrently("Post", ' in shown.out
    assert "--code" not in shown.err


def test_one_json_document_of_the_shape_that_is_described(cli: Cli, copy: Path) -> None:
    write(copy, 'migrations.AddIndex("Post", models.Index(fields=["title"], name="title_ix"))')
    done = cli("check", "--project", copy, "--json", "--no-database", root=copy)
    assert done.code == 1
    document = done.document
    jsonschema.validate(document, SCHEMA)
    assert set(document) == {"schema", "project", "database", "migrations", "notes"}
    assert (document["schema"], document["project"], document["database"]) == (1, str(copy), "default")
    migration = next(each for each in document["migrations"] if each["name"] == "0005_more")
    assert set(migration) == {
        "app",
        "name",
        "lock_safety",
        "compatibility",
        "reversible",
        "statements",
        "findings",
    }
    assert migration["statements"] == [
        {
            "sql": 'CREATE INDEX "title_ix" ON "blog_post" ("title")',
            "ms": None,
            "locks": [{"relation": "blog_post", "mode": "SHARE"}],
            "work": ["index build:blog_post", "scan:blog_post"],
            "evidence": "rule",
        }
    ]
    (finding,) = migration["findings"]
    assert (finding["id"], finding["severity"], finding["blocks"], finding["work"]) == (
        "MK201",
        "warning",
        "writes",
        "index build:blog_post",
    )


def test_annotations_point_at_the_operation_in_its_file(cli: Cli, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(copy, 'migrations.AddIndex("Post", models.Index(fields=["title"], name="title_ix"))')
    monkeypatch.setenv("GITHUB_WORKSPACE", str(copy))
    done = cli("check", "blog", "0005", "--project", copy, "--format", "github", "--no-database", root=copy)
    assert done.code == 1
    (line,) = done.out.splitlines()
    assert line.startswith(
        "::warning file=backend/apps/blog/migrations/0005_more.py,line=7,title=MK201::blog.0005_more: Builds an index: "
        "blog_post gets an index built under SHARE, and writes wait until that is over.%0Abuild it CONCURRENTLY"
    )


def test_what_would_end_an_annotation_is_escaped() -> None:
    finding = Finding(
        "MK411",
        Severity.ERROR,
        "shop",
        "0001",
        "Raw SQL",
        "100% sure:\r\nnot, this",
        "::error::look",
        code="a = 1\nb = 2",
        file="/a,b:c%/0001.py",
        line=3,
    )
    ignored = Finding("MK201", Severity.INFO, "shop", "0001", "", "x", "y", ignored="because")
    verdict = Verdict(VerdictKind.SAFE, "", "rule")
    migration = MigrationAssessment("shop", "0001", verdict, verdict, None, (), (finding, ignored))
    assert github_lines(Assessment("/p", "default", (migration,))) == [
        "::error file=/a%2Cb%3Ac%25/0001.py,line=3,title=MK411::"
        "shop.0001: 100%25 sure:%0D%0Anot, this%0A::error::look%0A%0Aa = 1%0Ab = 2"
    ]


def test_ignored_findings_are_listed_with_their_reason(cli: Cli, copy: Path) -> None:
    write(copy, 'migrations.RemoveField("Post", "title")')
    config = copy / "mig_kit.toml"
    rules = (
        '[check]\nignore = [{ id = "MK301", migration = "blog.*", reason = "nobody reads it" }, '
        '{ id = "MK202", reason = "left over" }]'
    )
    config.write_text(f"{config.read_text()}\n{rules}\n")
    done = cli("check", "blog", "0005", "--project", copy, root=copy)
    assert done.code == 0
    assert "\nIgnored:\n  MK301 blog.0005_more (blog_post): nobody reads it\n" in done.out
    assert "info MK501: The ignore rule MK202 * fits no finding of this plan (left over)." in done.out
    github = cli("check", "blog", "0005", "--project", copy, "--format", "github", root=copy)
    assert re.findall("title=(MK5?3?0?1?)", github.out) == ["MK501"]
    config.write_text(f'{config.read_text().partition("[check]")[0]}[check]\nignore = [{{ id = "MK301" }}]\n')
    refused = cli("check", "--project", copy, root=copy)
    assert refused.code == 3
    assert "check.ignore[0]" in refused.err
    assert "gives no reason" in refused.err


def test_wrong_usage_and_failure_have_codes_of_their_own(cli: Cli, demo: Demo, tmp_path: Path) -> None:
    two = cli("check", "--project", demo.root, "--json", "--format", "github")
    assert (two.code, two.error["kind"]) == (2, "UsageError")
    assert cli("check", "--format", "xml").code == 2
    assert cli("check", "--project", tmp_path).code == 3
    assert cli("check", "blog", "0099", "--project", demo.root).code == 3
