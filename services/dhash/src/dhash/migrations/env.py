"""What Alembic runs for every command."""

from alembic import context

from dhash.database import connect, immediate
from dhash.settings import Settings

config = context.config
url: str = config.attributes.get("database_url") or Settings.from_environment().database_url
connection = config.attributes.get("connection")

if context.is_offline_mode():
    context.configure(url=url, literal_binds=True, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
elif connection is not None:
    # The caller owns the transaction: it commits all of it, or nothing.
    context.configure(connection=connection, transactional_ddl=True)
    context.run_migrations()
else:
    with immediate(connect(url, pooled=False, may_create=True)).begin() as own:
        context.configure(connection=own, transactional_ddl=True)
        context.run_migrations()
