//! Changes that share a commit, on both engines: each is kept or undone by itself, and its caller is told.

use telovix_console_stub::clock::Clock;
use telovix_console_stub::db::{Database, DbError, Rows, Tx, settings};

use crate::engine::Engine;

/// What becomes of a change that writes `name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is kept, its last statements put off.
    Kept,
    /// A statement that was put off finds no row; the change thinks that all is well.
    MissesPutOff,
    /// The same, and it asks something afterwards.
    MissesAndAsks,
    /// A statement that was put off is refused by the engine.
    RefusedPutOff,
    /// A statement that the engine cannot even read.
    Unreadable,
    /// It gives up by itself, before it has asked anything.
    GivesUp,
    /// It has a bug.
    Panics,
    Nothing,
}

const FATES: [Fate; 8] = [
    Fate::Kept,
    Fate::MissesPutOff,
    Fate::MissesAndAsks,
    Fate::RefusedPutOff,
    Fate::Unreadable,
    Fate::GivesUp,
    Fate::Panics,
    Fate::Nothing,
];

fn change(tx: &mut dyn Tx, name: &str, fate: Fate) -> Result<(), DbError> {
    if fate == Fate::Nothing {
        return Ok(());
    }
    let put = "INSERT INTO settings (name, value) VALUES ($1, 'x')";
    tx.later(put, &[name.into()], Rows::One)?;
    let miss = "UPDATE settings SET value = 'y' WHERE name = 'nobody'";
    match fate {
        Fate::Kept => {
            let value = settings::get(tx, name)?;
            assert_eq!(value.as_deref(), Some("x"), "what was put off is there for who asks");
            tx.later("UPDATE settings SET value = 'z' WHERE name = $1", &[name.into()], Rows::One)
        }
        Fate::MissesPutOff => {
            drop(tx.later(miss, &[], Rows::One));
            Ok(())
        }
        Fate::MissesAndAsks => {
            drop(tx.later(miss, &[], Rows::One));
            drop(settings::get(tx, name));
            Ok(())
        }
        Fate::RefusedPutOff => {
            drop(tx.later(put, &[name.into()], Rows::One));
            Ok(())
        }
        Fate::Unreadable => tx.execute("UPDATE no_such_table SET a = 1", &[]).map(|_| ()),
        Fate::GivesUp => Err(DbError::Corrupt { wanted: "something else", found: "this".to_owned() }),
        Fate::Panics => panic!("a bug"),
        Fate::Nothing => Ok(()),
    }
}

#[tokio::test]
async fn each_change_in_a_commit_is_kept_or_undone_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new(&dir.path().join("console.db"));
    let db = Database::open(engine.location(), Clock::system()).await.unwrap();
    for round in 0..4 {
        // All wait for the writer before it hears of any: there is one thread here, and they share commits.
        let tasks: Vec<_> = (0..40usize)
            .map(|at| {
                let (db, name) = (db.clone(), format!("round {round}, change {at}"));
                let fate = FATES[at * (round + 1) % FATES.len()];
                tokio::spawn(async move {
                    let written = name.clone();
                    (fate, name, db.write(move |tx| change(tx, &written, fate)).await)
                })
            })
            .collect();
        for task in tasks {
            let (fate, name, told) = task.await.unwrap();
            let kept = db.read(move |tx| settings::get(tx, &name)).await.unwrap();
            match fate {
                Fate::Kept => assert_eq!((told.is_ok(), kept.as_deref()), (true, Some("z")), "{told:?}"),
                Fate::Nothing => assert_eq!((told.is_ok(), kept), (true, None), "{told:?}"),
                Fate::MissesPutOff | Fate::MissesAndAsks => {
                    let missed =
                        matches!(&told, Err(DbError::Unavailable(why)) if why.starts_with("0 rows stood"));
                    assert!(missed && kept.is_none(), "{fate:?}: {told:?}, {kept:?}");
                }
                Fate::RefusedPutOff | Fate::Unreadable => {
                    let refused = matches!(&told, Err(DbError::Engine(_)));
                    assert!(refused && kept.is_none(), "{fate:?}: {told:?}, {kept:?}");
                }
                Fate::GivesUp => {
                    let gave_up = matches!(&told, Err(DbError::Corrupt { .. }));
                    assert!(gave_up && kept.is_none(), "{fate:?}: {told:?}, {kept:?}");
                }
                Fate::Panics => assert!(told.is_err() && kept.is_none(), "{told:?}, {kept:?}"),
            }
        }
    }
    let counts = db.write_counts();
    assert!(counts.commits < counts.changes, "nothing shared a commit: {counts:?}");
}
