//! Teams, tokens and sealed keys, in SQLite or PostgreSQL.
