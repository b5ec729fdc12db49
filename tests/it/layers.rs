//! Who imports whom: the `use crate::` lines and `crate::` paths in `src/` against a table.
//!
//! Tests may reach anywhere; what ships may not. Nobody is excepted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::rust_text::{Import, imports, test_modules};

/// A room, and what it may import: rooms, or parts of one (`reference::quant`).
const TABLE: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("ggml", &[]),
    ("stats", &[]),
    ("settings", &["ggml"]),
    ("system", &[]),
    ("clock", &["units"]),
    ("gguf", &["units", "ggml", "system"]),
    ("hub", &["units"]),
    ("model", &["gguf", "ggml", "units"]),
    ("suite", &["model", "ggml", "units", "settings", "system"]),
    ("reference", &["model", "gguf", "ggml", "units", "clock"]),
    ("memory", &["model", "reference", "ggml", "units", "settings"]),
    ("quantize", &["model", "gguf", "reference::quant", "ggml"]),
    ("synth", &["model", "gguf", "reference", "ggml", "units"]),
    ("plan", &["suite", "model", "memory", "ggml", "units", "settings"]),
    ("sensors", &["suite", "units", "clock", "system"]),
    ("engine", &["reference", "memory", "model", "ggml", "units", "clock", "settings"]),
    ("probe", &["reference", "units", "clock"]),
    ("roofline", &["probe", "model", "ggml", "stats"]),
    (
        "record",
        &[
            "stats", "plan", "engine", "sensors", "memory", "model", "units", "ggml", "settings",
            "probe", "roofline", "system",
        ],
    ),
    ("measure", &["plan", "engine", "probe", "roofline", "record", "units", "clock", "settings"]),
    (
        "runner",
        &[
            "plan", "suite", "record", "sensors", "memory", "stats", "units", "clock", "settings",
            "probe", "roofline", "system",
        ],
    ),
    ("compare", &["record", "stats", "plan", "units"]),
    ("history", &["compare", "record", "stats", "plan", "suite", "units", "system"]),
    ("exchange", &["compare", "record", "stats", "plan", "units", "settings"]),
    (
        "report",
        &[
            "compare", "record", "stats", "memory", "plan", "model", "units", "settings", "ggml",
            "probe", "roofline", "system",
        ],
    ),
];

/// The one room that may import everything.
const TOP: &str = "cli";

#[test]
fn every_room_imports_only_what_the_table_allows() {
    let mut wrong = String::new();
    let mut n_imports = 0;
    for (path, text) in sources() {
        let modules = modules_of(&path);
        let Some(room) = modules.first() else { continue };
        let may = TABLE.iter().find(|(r, _)| r == room).map_or(&[][..], |(_, may)| may);
        for import in imports(&text, modules.len()) {
            n_imports += 1;
            if room != TOP && import.room != *room && !allowed(may, &import) {
                let _ = writeln!(
                    wrong,
                    "src/{}:{}: `{room}` imports `{}`, allowed are: {}",
                    path.display(),
                    import.line,
                    import.path,
                    may.join(", "),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(n_imports > 20, "only {n_imports} imports were seen: the reader is blind");
}

#[test]
fn every_room_stands_in_the_table_and_the_table_has_no_circle() {
    let known: BTreeSet<&str> = TABLE.iter().map(|(room, _)| *room).chain([TOP]).collect();
    for path in sources().keys() {
        let room = &modules_of(path)[0];
        assert!(known.contains(&**room), "src/{}: `{room}` is no room", path.display());
    }
    // A room whose imports are all placed can be placed; a circle never can.
    let mut placed = BTreeSet::new();
    while placed.len() < TABLE.len() {
        let next = TABLE.iter().find(|(room, may)| {
            let mut rooms = may.iter().map(|part| part.split("::").next().unwrap_or(part));
            !placed.contains(room) && rooms.all(|room| placed.contains(room))
        });
        let (room, _) = next.unwrap_or_else(|| panic!("a circle, placed were {placed:?}"));
        placed.insert(*room);
    }
}

#[test]
fn an_import_of_a_part_is_allowed_where_that_part_or_its_room_is() {
    let import = |path: &str| Import { line: 1, room: "reference".into(), path: path.into() };
    assert!(allowed(&["reference::quant"], &import("reference::quant")));
    assert!(allowed(&["reference"], &import("reference::kernel")));
    assert!(!allowed(&["reference::quant"], &import("reference::quantum")));
    assert!(!allowed(&["reference::quant"], &import("reference")));
    assert!(!allowed(&[], &import("reference")));
}

/// Whether one of these parts covers the import.
fn allowed(may: &[&str], import: &Import) -> bool {
    may.iter().any(|part| {
        import.path.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    })
}

/// Every source file that ships, by its path below `src/`, but for `lib.rs` and `main.rs`, which
/// stand above the rooms. Files that are modules under `#[cfg(test)]` do not ship.
fn sources() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                files.insert(path.strip_prefix(&root).unwrap().to_owned(), text);
            }
        }
    }
    let mut only_tests: Vec<PathBuf> = Vec::new();
    for (path, text) in &files {
        let folder: PathBuf = modules_of(path).iter().collect();
        only_tests.extend(test_modules(text).into_iter().map(|name| folder.join(name)));
    }
    files.retain(|path, _| {
        let top = path == Path::new("lib.rs") || path == Path::new("main.rs");
        !top && !only_tests.iter().any(|t| path.starts_with(t) || *path == t.with_extension("rs"))
    });
    files
}

/// The modules a file stands in: `plan/cell.rs` is `plan`, `cell`.
fn modules_of(path: &Path) -> Vec<String> {
    let mut modules: Vec<String> =
        path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if modules.last().is_some_and(|last| last == "mod") {
        modules.pop();
    }
    modules
}
