//! Why a file of llama-bench cannot be read: the place, what was found, and what helps.

use std::fmt;

/// Where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file's name.
    pub name: String,
    /// Line, from 1.
    pub line: Option<u64>,
    /// Row, from 1.
    pub row: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        match self.row {
            Some(row) => write!(f, ", row {row}"),
            None => Ok(()),
        }
    }
}

/// A file that cannot be taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {kind}")]
pub struct ReadError {
    /// Where.
    pub place: Place,
    /// What.
    pub kind: ReadErrorKind,
}

/// What is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadErrorKind {
    /// There is nothing in it.
    #[error(
        "no row of llama-bench is in it\nhint: a run in which every test failed leaves such a file; see what llama-bench said on standard error"
    )]
    Empty,
    /// It is no text.
    #[error(
        "no text: byte {at} is not UTF-8\nhint: llama-bench -o jsonl writes text; a database is exported by `sqlite3 FILE -json 'SELECT * FROM llama_bench'`"
    )]
    NotText {
        /// The first byte that is none.
        at: usize,
    },
    /// It is an encoding that keeps too little.
    #[error(
        "found {found}, which is not read back\nhint: llama-bench -o jsonl keeps every sample; json and csv are read too"
    )]
    Encoding {
        /// Its name.
        found: &'static str,
    },
    /// It is something else.
    #[error(
        "found `{found}`, which llama-bench does not write\nhint: what llama-bench -o jsonl, json or csv wrote to standard output is read"
    )]
    Foreign {
        /// How it begins.
        found: String,
    },
    /// It does not follow the encoding.
    #[error(
        "{message}\nhint: keep only what llama-bench wrote to standard output; messages of standard error are no part of it"
    )]
    Syntax {
        /// What the parser says.
        message: String,
    },
    /// It ends too early.
    #[error(
        "the file ends in the middle; whole rows before that: {whole}\nhint: llama-bench was stopped while it ran; run it again, or keep the whole rows (a list of JSON is closed by `]`). llama-bench -o jsonl leaves whole lines"
    )]
    CutOff {
        /// Rows that are whole.
        whole: usize,
    },
    /// A line of CSV has more or fewer values than there are columns.
    #[error(
        "{found} values for {wanted} columns\nhint: a last line that was cut off can be removed; tables with other columns belong in files of their own"
    )]
    Columns {
        /// Values found.
        found: u64,
        /// Columns named.
        wanted: u64,
    },
    /// A key is missing without which a row says nothing.
    #[error(
        "no `{key}`\nhint: llama-bench writes it in every version; is this another program's file?"
    )]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A key stands there twice.
    #[error("`{key}` is there twice\nhint: one of them has to go")]
    Twice {
        /// The key.
        key: String,
    },
    /// A value is of another kind.
    #[error("{key} is {found}, wanted {wanted}\nhint: measure this test again, or remove the row")]
    Value {
        /// The key.
        key: String,
        /// What stands there.
        found: String,
        /// What may stand there.
        wanted: &'static str,
    },
    /// A number is not one.
    #[error(
        "a value is `{found}`, which is no number: nothing was measured there\nhint: measure this test again, or remove the row"
    )]
    NotFinite {
        /// As it is spelled.
        found: String,
    },
    /// No token was evaluated.
    #[error(
        "n_prompt and n_gen are both 0: a row without work says nothing\nhint: measure with -p or -n above 0, or remove the row"
    )]
    NoWork,
    /// No time passed.
    #[error(
        "{key} is 0: a test that took no time was not measured\nhint: measure this test again, or remove the row"
    )]
    NoTime {
        /// Which time.
        key: &'static str,
    },
}
