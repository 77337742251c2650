//! Brings the schema up to date, all missing steps in one transaction; refuses a database from a newer version.
//!
//! Invariant: a step is done once, however many instances start on one database at once. The write transaction keeps the
//! others out on every engine, and the version is read inside it.

use super::engine::{Dialect, Engine};
use super::{DbError, Tx, Value, audit};

/// Every step, in order; the version is the position, counted from one.
const STEPS: &[Step] = &[
    Step::Script(include_str!("../../migrations/0001_first_light.sql")),
    Step::Script(include_str!("../../migrations/0002_approval.sql")),
    Step::Script(include_str!("../../migrations/0003_audit_chain.sql")),
    Step::Code(audit::chain_up),
    Step::Apart {
        sqlite: include_str!("../../migrations/0005_audit_append_only.sqlite.sql"),
        postgres: include_str!("../../migrations/0005_audit_append_only.postgres.sql"),
    },
    Step::Script(include_str!("../../migrations/0006_renewal_requests.sql")),
    Step::Script(include_str!("../../migrations/0007_sessions.sql")),
    Step::Script(include_str!("../../migrations/0008_list_indexes.sql")),
    Step::Script(include_str!("../../migrations/0009_quick_lists.sql")),
    Step::Script(include_str!("../../migrations/0010_successors.sql")),
    Step::Script(include_str!("../../migrations/0011_names_are_no_identities.sql")),
    Step::Script(include_str!("../../migrations/0012_presence.sql")),
    Step::Script(include_str!("../../migrations/0013_after_restore.sql")),
];

/// One version further.
enum Step {
    Script(&'static str),
    /// Statements that engines spell apart.
    Apart {
        sqlite: &'static str,
        postgres: &'static str,
    },
    /// What SQL cannot say.
    Code(fn(&mut dyn Tx) -> Result<(), DbError>),
}

/// Runs the steps that the database does not have yet.
pub(super) fn run(engine: &mut impl Engine, now: i64) -> Result<(), DbError> {
    let known = STEPS.len() as i64;
    engine.begin()?;
    let done = upgrade(engine, known, now).and_then(|()| engine.commit());
    if done.is_err() {
        engine.rollback()?;
    }
    done
}

fn upgrade(engine: &mut impl Engine, known: i64, now: i64) -> Result<(), DbError> {
    engine.script(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)",
    )?;
    let row = engine.first("SELECT COALESCE(MAX(version), 0) FROM schema_migrations", &[])?;
    let found = row.map_or(Ok(0), |row| row.int(0))?;
    if found > known {
        return Err(DbError::Newer { found, known });
    }
    for (version, step) in (1i64..).zip(STEPS).filter(|(version, _)| *version > found) {
        match step {
            Step::Script(sql) => engine.script(sql)?,
            Step::Apart { sqlite, postgres } => engine.script(match engine.dialect() {
                Dialect::Sqlite => sqlite,
                Dialect::Postgres => postgres,
            })?,
            Step::Code(change) => change(engine)?,
        }
        let args = [Value::Int(version), Value::Int(now)];
        engine.execute("INSERT INTO schema_migrations (version, applied_at) VALUES ($1, $2)", &args)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::sqlite::Sqlite;
    use super::*;

    /// All missing steps or none: what failed in the middle leaves the old version whole.
    #[test]
    fn a_step_that_fails_leaves_nothing_of_those_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = Sqlite::open(&dir.path().join("db")).unwrap();
        let Step::Script(first) = STEPS[0] else { panic!() };
        engine.script(first).unwrap();
        engine
            .script(
                "CREATE TABLE schema_migrations (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL); \
                 INSERT INTO schema_migrations VALUES (1, 0); CREATE TABLE sessions (in_the_way BIGINT)",
            )
            .unwrap();
        let count = |engine: &mut Sqlite, sql: &str| engine.first(sql, &[]).unwrap().unwrap().int(0).unwrap();
        let tables = "SELECT COUNT(*) FROM sqlite_master";
        let before = count(&mut engine, tables);
        assert!(matches!(run(&mut engine, 1), Err(DbError::Engine(_))));
        assert_eq!(count(&mut engine, tables), before);
        assert_eq!(count(&mut engine, "SELECT MAX(version) FROM schema_migrations"), 1);
        engine.script("DROP TABLE sessions").unwrap();
        run(&mut engine, 2).unwrap();
        assert_eq!(count(&mut engine, "SELECT MAX(version) FROM schema_migrations"), STEPS.len() as i64);
    }

    #[test]
    fn runs_once_and_refuses_a_newer_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = Sqlite::open(&dir.path().join("db")).unwrap();
        run(&mut engine, 1).unwrap();
        run(&mut engine, 2).unwrap();
        let row = engine.first("SELECT applied_at FROM schema_migrations", &[]).unwrap().unwrap();
        assert_eq!(row.int(0).unwrap(), 1);
        engine.execute("INSERT INTO schema_migrations VALUES (99, 0)", &[]).unwrap();
        // Records from before there was a chain are made one.
        let mut old = Sqlite::open(&dir.path().join("old")).unwrap();
        let Step::Script(first) = STEPS[0] else { panic!() };
        old.script(first).unwrap();
        old.script("CREATE TABLE schema_migrations (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)")
            .unwrap();
        old.script("INSERT INTO schema_migrations VALUES (1, 0)").unwrap();
        old.script("INSERT INTO audit VALUES (1, 5, 'a', 'success', NULL, NULL, '', NULL, NULL)").unwrap();
        run(&mut old, 3).unwrap();
        let linked = audit::after(&mut old, 0, 9).unwrap();
        assert_eq!(audit::head(&mut old).unwrap().hash, linked[0].hash);
        assert!(
            matches!(run(&mut engine, 3), Err(DbError::Newer { found: 99, known }) if known == STEPS.len() as i64)
        );
    }
}
