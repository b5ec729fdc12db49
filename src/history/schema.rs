//! The tables, as the steps that lead to them, and the door of the file: what is no history of ours, or
//! one of a newer program, is refused before anything is written.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use rusqlite::{Connection, Transaction};

use super::HistoryError;
use crate::system::said;

/// The version of the newest schema: the number of steps.
pub const VERSION: u32 = STEPS.len() as u32;

/// `slmb`, in the field of SQLite's header that says whose a database is.
pub const APPLICATION_ID: u32 = u32::from_be_bytes(*b"slmb");

/// What turns version n into version n + 1. A step that was ever in a release stays as it is.
const STEPS: &[&str] = &[
    // 1: what runs measured.
    "CREATE TABLE environment (
        fingerprint TEXT PRIMARY KEY,
        words TEXT NOT NULL
    ) STRICT;
    CREATE TABLE run (
        id TEXT PRIMARY KEY,
        date TEXT NOT NULL,
        started_at TEXT NOT NULL,
        suite TEXT NOT NULL,
        label TEXT,
        program TEXT NOT NULL,
        commit_id TEXT,
        branch TEXT,
        environment TEXT NOT NULL REFERENCES environment (fingerprint),
        os TEXT NOT NULL,
        kernel TEXT NOT NULL
    ) STRICT;
    CREATE INDEX run_date ON run (date);
    CREATE TABLE cell (
        id TEXT PRIMARY KEY,
        words TEXT NOT NULL
    ) STRICT;
    CREATE TABLE invocation (
        run TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
        cell TEXT NOT NULL REFERENCES cell (id),
        number INTEGER NOT NULL,
        started_at TEXT NOT NULL,
        outcome TEXT NOT NULL,
        marks TEXT NOT NULL,
        maker TEXT NOT NULL,
        PRIMARY KEY (run, cell, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE measure (
        run TEXT NOT NULL,
        cell TEXT NOT NULL,
        invocation INTEGER NOT NULL,
        name TEXT NOT NULL,
        value REAL NOT NULL,
        PRIMARY KEY (run, cell, invocation, name),
        FOREIGN KEY (run, cell, invocation)
            REFERENCES invocation (run, cell, number) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;",
    // 2: one flat table for those who ask with SQL of their own.
    "CREATE VIEW flat AS
    SELECT
        run.date, run.commit_id, run.branch, run.label, run.suite, run.id AS run, run.environment,
        cell.id AS cell,
        cell.words ->> '$.model' AS model,
        cell.words ->> '$.quant' AS quant,
        cell.words ->> '$.engine' AS engine,
        measure.name AS measure, measure.invocation, measure.value
    FROM measure
    JOIN run ON run.id = measure.run
    JOIN cell ON cell.id = measure.cell;",
];

/// Opens the file of a history and brings it to the newest version. `create` makes one where there is
/// none.
pub(super) fn open(path: &Path, create: bool) -> Result<Connection, HistoryError> {
    let failed = |source| HistoryError::Sqlite { path: path.to_owned(), source };
    let found = header(path).map_err(|error| match error {
        // Where there is none it cannot be made.
        HistoryError::Unreadable { path, message } if create && !path.exists() => {
            HistoryError::Unwritable { path, message }
        }
        error => error,
    })?;
    match found {
        None if !create => return Err(HistoryError::Absent { path: path.to_owned() }),
        None => make(path)?,
        Some(header) => look_at(path, &header)?,
    }
    let connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(failed)?;
    ready(path, connection)
}

/// Makes an empty file, which SQLite takes for an empty database: it would not say why it cannot make one.
fn make(path: &Path) -> Result<(), HistoryError> {
    let fail = |message| HistoryError::Unwritable { path: path.to_owned(), message };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
        && !folder.is_dir()
    {
        return Err(fail(format!("there is no folder {}", folder.display())));
    }
    let made = File::options().append(true).create(true).open(path);
    made.map(drop).map_err(|e| fail(said(&e)))
}

/// A history that ends with the process.
#[cfg(test)]
pub fn in_memory() -> Connection {
    ready(Path::new(":memory:"), Connection::open_in_memory().unwrap()).unwrap()
}

fn ready(path: &Path, mut connection: Connection) -> Result<Connection, HistoryError> {
    let failed = |source| HistoryError::Sqlite { path: path.to_owned(), source };
    // The header in the file may lag behind what a writer has left in its log.
    let (id, version) = identity(&connection).map_err(failed)?;
    let is_empty = || -> rusqlite::Result<bool> {
        connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
    };
    if id != APPLICATION_ID && !(id == 0 && version == 0 && is_empty().map_err(failed)?) {
        return Err(HistoryError::Foreign { path: path.to_owned(), found: OTHERS });
    }
    if version > VERSION {
        return Err(HistoryError::Newer { path: path.to_owned(), found: version });
    }
    connection
        .pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
        .and_then(|()| connection.pragma_update(None, "foreign_keys", true))
        .and_then(|()| migrate(&mut connection, STEPS))
        .map_err(failed)?;
    Ok(connection)
}

const OTHERS: &str = "a database of another program";

/// The first bytes of a file that has any; `None` where there is no file, or an empty one.
fn header(path: &Path) -> Result<Option<Vec<u8>>, HistoryError> {
    let unreadable =
        |e: std::io::Error| HistoryError::Unreadable { path: path.to_owned(), message: said(&e) };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unreadable(e)),
    };
    let mut bytes = Vec::new();
    file.take(100).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok((!bytes.is_empty()).then_some(bytes))
}

/// Refuses what can be told from the header alone, so that SQLite never opens it.
fn look_at(path: &Path, header: &[u8]) -> Result<(), HistoryError> {
    let foreign = |found| HistoryError::Foreign { path: path.to_owned(), found };
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        return Err(foreign("no SQLite database"));
    }
    let word =
        |at: usize| header[at..at + 4].iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
    let (version, id) = (word(60), word(68));
    if id != APPLICATION_ID && id != 0 {
        return Err(foreign(OTHERS));
    }
    if id == APPLICATION_ID && version > VERSION {
        return Err(HistoryError::Newer { path: path.to_owned(), found: version });
    }
    Ok(())
}

fn identity(connection: &Connection) -> rusqlite::Result<(u32, u32)> {
    let word = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    Ok((word("application_id")?, word("user_version")?))
}

/// Takes the steps that are missing, each whole or not at all.
fn migrate(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<()> {
    loop {
        let transaction: Transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        // Asked within the transaction: another process may have taken the step meanwhile.
        let (_, version) = identity(&transaction)?;
        let Some(step) = steps.get(version as usize) else { return Ok(()) };
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version + 1)?;
        transaction.commit()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(connection: &Connection) -> Vec<String> {
        let mut statement = connection
            .prepare(
                "SELECT type || ' ' || name FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY 1",
            )
            .unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        names.map(Result::unwrap).collect()
    }

    #[test]
    fn a_history_of_the_first_version_becomes_one_of_the_newest_and_keeps_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.db");
        let mut old = Connection::open(&path).unwrap();
        migrate(&mut old, &STEPS[..1]).unwrap();
        old.execute("INSERT INTO cell VALUES ('c', '{}')", []).unwrap();
        assert_eq!(identity(&old).unwrap(), (APPLICATION_ID, 1));
        drop(old);
        let new = open(&path, false).unwrap();
        assert_eq!(identity(&new).unwrap(), (APPLICATION_ID, VERSION));
        assert_eq!(tables(&new), tables(&in_memory()));
        let kept: String = new.query_row("SELECT id FROM cell", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, "c");
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = [STEPS[0], "CREATE TABLE half (x); SELECT no_such_function();"];
        assert!(migrate(&mut connection, &steps).is_err());
        assert_eq!(identity(&connection).unwrap(), (APPLICATION_ID, 1));
        assert!(!tables(&connection).contains(&"table half".to_owned()));
    }

    #[test]
    fn a_history_of_a_newer_program_is_refused_and_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.db");
        let newer = open(&path, true).unwrap();
        newer.pragma_update(None, "user_version", VERSION + 1).unwrap();
        drop(newer);
        let before = std::fs::read(&path).unwrap();
        let error = open(&path, true).unwrap_err().to_string();
        assert!(error.contains(&format!("version {}", VERSION + 1)), "{error}");
        assert!(error.contains(&format!("up to {VERSION}")), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn what_is_no_database_or_anothers_is_refused_and_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "not a database at all").unwrap();
        let error = open(&path, true).unwrap_err().to_string();
        assert!(error.contains("is no SQLite database, not a history"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"not a database at all");

        for id in [0, 7] {
            let path = folder.path().join(format!("{id}.db"));
            let others = Connection::open(&path).unwrap();
            others.execute_batch("CREATE TABLE theirs (x)").unwrap();
            others.pragma_update(None, "application_id", id).unwrap();
            drop(others);
            let before = std::fs::read(&path).unwrap();
            let error = open(&path, true).unwrap_err().to_string();
            assert!(error.contains("database of another program"), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), before);
        }
    }

    #[test]
    fn an_empty_file_is_the_beginning_of_a_history_and_no_file_is_one_only_where_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.db");
        let error = open(&path, false).unwrap_err().to_string();
        assert!(error.contains("history add"), "{error}");
        assert!(!path.exists());
        std::fs::write(&path, "").unwrap();
        open(&path, true).unwrap();
        assert!(open(&path, false).is_ok());
    }
}
