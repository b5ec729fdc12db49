//! Just enough reading of Rust to see which rooms a file reaches: words and signs without
//! comments and texts, items under `#[cfg(test)]`, paths behind `crate::` and `super::`.

/// A path into a room: its line, the room, and the path with the part of the room it names.
#[derive(Debug, PartialEq, Eq)]
pub struct Import {
    pub line: usize,
    pub room: String,
    pub path: String,
}

/// Imports of what ships: paths behind `crate::`, and behind as many `super::` as lead out of
/// the room from a file that stands `depth` modules deep.
pub fn imports(text: &str, depth: usize) -> Vec<Import> {
    let tokens = tokens(text);
    let words: Vec<&str> = tokens.iter().map(|(_, word)| word.as_str()).collect();
    let mut found = Vec::new();
    let mut i = 0;
    while i < words.len() {
        if let Some(end) = test_attribute(&words, i) {
            i = end_of_item(&words, end);
            continue;
        }
        let mut supers = 0;
        while words[i..].get(2 * supers..2 * supers + 2) == Some(&["super", "::"][..]) {
            supers += 1;
        }
        if words[i] == "crate" && words.get(i + 1) == Some(&"::") {
            collect(&tokens, &words, i + 2, &mut found);
        } else if supers > 0 && supers >= depth {
            collect(&tokens, &words, i + 2 * supers, &mut found);
        }
        i += (2 * supers).max(1);
    }
    found
}

/// Names of the modules in files of their own that the text declares under `#[cfg(test)]`.
pub fn test_modules(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let words: Vec<&str> = tokens.iter().map(|(_, word)| word.as_str()).collect();
    let mut found = Vec::new();
    for i in 0..words.len() {
        let Some(end) = test_attribute(&words, i) else { continue };
        let item = &words[end..end_of_item(&words, end)];
        if let [.., "mod", name, ";"] = item {
            found.push((*name).to_owned());
        }
    }
    found
}

/// Reads the path behind `crate::`, or the tree of paths in braces, at `i`.
fn collect(tokens: &[(usize, String)], words: &[&str], mut i: usize, found: &mut Vec<Import>) {
    let mut one = |i: usize| {
        let Some(&room) = words.get(i) else { return i + 1 };
        let part = words.get(i + 1).filter(|word| **word == "::").and(words.get(i + 2));
        let path = match part {
            Some(part) if !["{", "*"].contains(part) => format!("{room}::{part}"),
            _ => room.to_owned(),
        };
        found.push(Import { line: tokens[i].0, room: room.to_owned(), path });
        end_of_path(words, i)
    };
    if words.get(i) != Some(&"{") {
        one(i);
        return;
    }
    i += 1;
    while i < words.len() && words[i] != "}" {
        i = if words[i] == "," { i + 1 } else { one(i) };
    }
}

/// Behind the path that begins at `i`, its own braces and its new name included.
fn end_of_path(words: &[&str], mut i: usize) -> usize {
    while words.get(i + 1) == Some(&"::") {
        i += 2;
        if words.get(i) == Some(&"{") {
            return end_of_braces(words, i);
        }
    }
    if words.get(i + 1) == Some(&"as") { i + 3 } else { i + 1 }
}

/// Where the attribute at `i` ends, if it says that what follows is for tests only.
fn test_attribute(words: &[&str], i: usize) -> Option<usize> {
    if words.get(i..i + 3)? != ["#", "[", "cfg"] {
        return None;
    }
    let end = i + words[i..].iter().position(|word| *word == "]")?;
    let condition = &words[i + 3..end];
    let only = condition.contains(&"test") && !["not", "any"].iter().any(|w| condition.contains(w));
    only.then_some(end + 1)
}

/// Where the item that begins at `i` ends: behind its `;` or its braces.
fn end_of_item(words: &[&str], mut i: usize) -> usize {
    while i < words.len() {
        match words[i] {
            ";" => return i + 1,
            "{" => {
                let end = end_of_braces(words, i);
                // `use a::{b, c};` goes on behind its braces.
                return if words.get(end) == Some(&";") { end + 1 } else { end };
            }
            _ => i += 1,
        }
    }
    i
}

fn end_of_braces(words: &[&str], mut i: usize) -> usize {
    let mut depth = 0;
    while i < words.len() {
        match words[i] {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        i += 1;
        if depth == 0 {
            break;
        }
    }
    i
}

/// Words and signs with their lines; comments and texts are left out.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let (mut i, mut line) = (0, 1);
    while i < chars.len() {
        let start = i;
        match chars[i] {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && chars[i] != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => i = end_of_comment(&chars, i),
            '"' => i = end_of_text(&chars, i),
            'r' | 'b' | 'c' if end_of_raw_text(&chars, i).is_some() => {
                i = end_of_raw_text(&chars, i).unwrap_or(i + 1);
            }
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < chars.len() && chars[i] != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            c if is_word(c) => {
                while i < chars.len() && is_word(chars[i]) {
                    i += 1;
                }
                tokens.push((line, chars[start..i].iter().collect()));
            }
            ':' if at(i + 1) == ':' => {
                tokens.push((line, "::".to_owned()));
                i += 2;
            }
            c => {
                if !c.is_whitespace() {
                    tokens.push((line, c.to_string()));
                }
                i += 1;
            }
        }
        line += chars[start..i.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

/// Behind the comment that begins at `i`; comments nest.
fn end_of_comment(chars: &[char], mut i: usize) -> usize {
    let mut depth = 0;
    while i < chars.len() {
        match chars[i..] {
            ['/', '*', ..] => (depth, i) = (depth + 1, i + 2),
            ['*', '/', ..] => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

/// Behind the text in quotes that begins at `i`.
fn end_of_text(chars: &[char], mut i: usize) -> usize {
    i += 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// Behind the raw text (`r#"…"#`, `br"…"`) that begins at `i`, if one does.
fn end_of_raw_text(chars: &[char], i: usize) -> Option<usize> {
    let open = i + chars[i..].iter().take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
    if open - i > 2 || chars[open - 1] != 'r' {
        return None;
    }
    let count = |from: usize| chars[from..].iter().take_while(|c| **c == '#').count();
    let hashes = count(open);
    if chars.get(open + hashes) != Some(&'"') {
        return None;
    }
    let body = open + hashes + 1;
    let end = (body..chars.len()).find(|&e| chars[e] == '"' && count(e + 1) >= hashes);
    Some(end.map_or(chars.len(), |end| end + 1 + hashes))
}

#[test]
fn the_reader_sees_every_way_to_reach_another_room_and_nothing_else() {
    let text = r##"
//! crate::comment::is_none
use crate::ggml::GgmlType;
use crate::{model, plan::{Cell, cell::x as y}, units::*};
/* crate::gone /* nested */ crate::gone2 */
fn f<'a>(c: char) -> &'a str {
    let _ = ('"', '\'', b'"', r#"crate::raw"#, "crate::text \" crate::text2");
    crate::stats::mean(); crate :: clock::now();
    super::sibling(); super::super::engine::Engine;
    $crate::record::Record
}
pub(crate) fn g() {}
#[cfg(test)]
mod tests { use crate::cli::x; fn f() { { crate::runner::y } } }
#[cfg(test)]
use crate::synth::{z, w};
#[cfg(all(test, unix))]
fn h() { crate::probe::p }
#[cfg(not(test))]
use crate::memory::predict;
#[cfg(test)]
pub(crate) mod fixtures;
"##;
    let seen: Vec<String> = imports(text, 2).into_iter().map(|import| import.path).collect();
    assert_eq!(
        seen,
        [
            "ggml::GgmlType",
            "model",
            "plan",
            "units",
            "stats::mean",
            "clock::now",
            "engine::Engine",
            "record::Record",
            "memory::predict",
        ]
    );
    assert_eq!(imports(text, 2)[2].line, 4);
    assert_eq!(test_modules(text), ["fixtures"]);
}
