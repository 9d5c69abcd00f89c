"""Who may ask a specialist, who may change it, and who gets to see its answers.

Revision 0005, after 0004.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import op

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NUMBERED = {"sqlite_autoincrement": True}  # SQLite makes the table anew, and would forget it
SPECIALIST = sa.table("specialist", sa.column("acl_id"), sa.column("curators_acl_id"))
ACL = sa.table("acl", sa.column("id", ID), sa.column("sha256"))
ACL_ENTRY = sa.table("acl_entry", sa.column("acl_id"), sa.column("principal_id"))
PRINCIPAL = sa.table("principal", sa.column("id", ID), sa.column("kind"))
API_KEY = sa.table("api_key", sa.column("id", ID), sa.column("permissions", sa.JSON()))


def anew() -> str:
    """SQLite makes a table anew, so that its definition reads as if it had always been so; PostgreSQL alters it."""
    return "always" if op.get_bind().dialect.name == "sqlite" else "never"


def upgrade() -> None:
    with op.batch_alter_table("specialist", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.add_column(sa.Column("acl_id", ID, nullable=True))
        batch.add_column(sa.Column("curators_acl_id", ID, nullable=True))
        batch.add_column(sa.Column("audience", sa.String(length=16), server_default="asker", nullable=False))
        batch.create_foreign_key(op.f("fk_specialist_acl_id_acl"), "acl", ["acl_id"], ["id"])
        batch.create_foreign_key(op.f("fk_specialist_curators_acl_id_acl"), "acl", ["curators_acl_id"], ["id"])
    bind = op.get_bind()
    if bind.execute(sa.select(sa.func.count()).select_from(SPECIALIST)).scalar_one():
        # Whoever was known could ask each of them, and go on so; only operators could change one.
        everyone = sa.select(PRINCIPAL.c.id).where(PRINCIPAL.c.kind == "public")
        lists = {"acl_id": interned(bind.execute(everyone).scalars().all()), "curators_acl_id": interned([])}
        bind.execute(SPECIALIST.update().values(lists))
    with op.batch_alter_table("specialist", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.alter_column("acl_id", existing_type=ID, nullable=False)
        batch.alter_column("curators_acl_id", existing_type=ID, nullable=False)
    # A key that could operate could change specialists; that has a permission of its own now.
    change_keys(lambda given: [*given, "curate"] if "operate" in given else given)


def downgrade() -> None:
    change_keys(lambda given: [each for each in given if each != "curate"])
    with op.batch_alter_table("specialist", recreate=anew(), table_kwargs=NUMBERED) as batch:
        for name in ("fk_specialist_acl_id_acl", "fk_specialist_curators_acl_id_acl"):
            batch.drop_constraint(op.f(name), type_="foreignkey")
        for column in ("acl_id", "curators_acl_id", "audience"):
            batch.drop_column(column)


def interned(principal_ids: Sequence[int]) -> int:
    """Return the access list of exactly these principals, made if there is none yet."""
    bind = op.get_bind()
    key = hashlib.sha256(",".join(map(str, sorted(principal_ids))).encode()).hexdigest()
    found = bind.execute(sa.select(ACL.c.id).where(ACL.c.sha256 == key)).scalar_one_or_none()
    if found is None:
        found = bind.execute(ACL.insert().values(sha256=key).returning(ACL.c.id)).scalar_one()
        for each in principal_ids:
            bind.execute(ACL_ENTRY.insert().values(acl_id=found, principal_id=each))
    return int(found)


def change_keys(changed: Callable[[list[str]], list[str]]) -> None:
    """Give each key the permissions that *changed* makes of those that it has."""
    bind = op.get_bind()
    for key_id, given in bind.execute(sa.select(API_KEY.c.id, API_KEY.c.permissions)).all():
        wanted = changed(given)
        if wanted != given:
            bind.execute(API_KEY.update().where(API_KEY.c.id == key_id).values(permissions=sorted(wanted)))
