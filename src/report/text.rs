//! Words and numbers as they are shown, and untrusted names made harmless.
//!
//! Names of models, engines and devices come from files and command lines of strangers. No
//! character of theirs may move a terminal's cursor, end a table cell, or become markup.

use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::stats::Estimate;

/// What stands where a number is missing.
pub const MISSING: &str = "–";

/// Whether a character turns the direction of writing, or cannot be seen.
pub fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// Without characters that cannot be seen, and with `�` for those that control a terminal.
fn harmless(text: &str) -> impl Iterator<Item = char> {
    let seen = text.chars().filter(|c| !is_unseen(*c));
    seen.map(|c| if c.is_control() && !c.is_whitespace() { '\u{fffd}' } else { c })
}

/// A line as it is laid out, with its spaces, but nothing that controls a terminal.
pub fn laid_out(line: &str) -> String {
    harmless(line).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// On one line, without characters that control a terminal or turn the direction of writing.
pub fn plain(text: &str) -> String {
    let spaced: String = harmless(text).map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    spaced.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// `text` as literal text inside a Markdown paragraph or table cell.
pub fn markdown(text: &str) -> String {
    let text: Vec<char> = plain(text).chars().collect();
    let mut out = String::new();
    for (i, &c) in text.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| text[i]);
        let after = text.get(i + 1).copied();
        let within_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // An underscore inside a word marks nothing up, and `Q4_0` should stay readable.
            '_' if within_word(before) && within_word(after) => out.push(c),
            // Neither links nor mentions nor issue numbers arise.
            ':' if after == Some('/') => out.push_str("&#58;"),
            '.' if is_after_www(&text[..i]) => out.push_str("&#46;"),
            // A number with one of these behind it would begin a list.
            '.' | ')'
                if i > 0
                    && text[..i].iter().all(char::is_ascii_digit)
                    && after.is_none_or(char::is_whitespace) =>
            {
                out.push('\\');
                out.push(c);
            }
            '@' if within_word(after) => out.push_str("&#64;"),
            '#' if within_word(after) => out.push_str("&#35;"),
            // A bracket before a digit opens an interval; without these ends it is no link.
            '[' if after.is_some_and(|c| c.is_ascii_digit()) => out.push(c),
            ']' if !matches!(after, Some('(' | '[' | ':')) => out.push(c),
            '\\' | '`' | '*' | '_' | '|' | '[' | ']' | '~' | '#' | '$' => {
                out.push('\\');
                out.push(c);
            }
            // Only at the start of a line would these begin a list or a rule.
            '-' | '+' | '=' if before.is_none() => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

/// Whether what stands before ends in the word `www`.
fn is_after_www(before: &[char]) -> bool {
    let word: String = before.iter().rev().take(3).collect();
    let earlier = before.len().checked_sub(4).map(|at| before[at]);
    word.eq_ignore_ascii_case("www") && !earlier.is_some_and(char::is_alphanumeric)
}

/// `text` in at most `width` columns; what is too much gives way to `…` in the middle, because
/// names tend to differ at both ends.
pub fn elide(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (front, back) = (width.saturating_sub(1).div_ceil(2), width.saturating_sub(1) / 2);
    let take = |chars: &mut dyn Iterator<Item = char>, mut room: usize| -> Vec<char> {
        let mut taken = Vec::new();
        for c in chars {
            let w = c.width().unwrap_or(0);
            if w > room {
                break;
            }
            room -= w;
            taken.push(c);
        }
        taken
    };
    let head = take(&mut text.chars(), front);
    let tail = take(&mut text.chars().rev(), back);
    head.into_iter().chain(['…']).chain(tail.into_iter().rev()).collect()
}

/// A stranger's name in a title, which stands again in whatever repeats it: no longer than a line.
pub fn title_name(name: &str) -> String {
    elide(&plain(name), 80)
}

/// Decimals that show about four digits of `value`, two at most.
pub fn decimals(value: f64) -> usize {
    match value.abs() {
        v if v >= 1000.0 => 0,
        v if v >= 100.0 => 1,
        _ => 2,
    }
}

/// About four digits.
pub fn number(value: f64) -> String {
    format!("{value:.*}", decimals(value))
}

/// An estimate's value, or a dash.
pub fn value(estimate: Option<Estimate>) -> String {
    estimate.map_or(MISSING.to_owned(), |e| number(e.value))
}

/// The interval in square brackets, as exact as the value itself; below three invocations the
/// range of the repetitions, with a star for the footnote that says so.
pub fn spread(estimate: &Estimate) -> String {
    let d = decimals(estimate.value);
    let ((lo, hi), star) = match estimate.interval() {
        Some(interval) => (interval, " "),
        None => (estimate.range, "*"),
    };
    format!("[{lo:.d$}, {hi:.d$}]{star}")
}

/// Bytes in MiB, a number only: the unit stands in the header.
pub fn mib(bytes: f64) -> String {
    format!("{:.1}", bytes / f64::from(1 << 20))
}

/// Thousands apart by a narrow no-break space: `1 234 567`.
pub fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut out = String::from(if value < 0.0 { "−" } else { "" });
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        let _ = write!(out, ".{fraction}");
    }
    out
}

/// `1 cell`, `2 cells`.
pub fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// `text` in lines of at most `width` columns; lines after the first are set in by two more.
pub fn wrapped(text: &str, width: usize, indent: &str) -> String {
    use unicode_width::UnicodeWidthStr;
    let mut out = String::from(indent);
    let mut column = indent.len();
    for (i, word) in text.split(' ').enumerate() {
        let gap = usize::from(i > 0);
        let word = elide(word, width.saturating_sub(indent.len() + 2));
        if i > 0 && column + gap + word.width() > width {
            out.push_str(&format!("\n{indent}  "));
            column = indent.len() + 2;
        } else if i > 0 {
            out.push(' ');
            column += gap;
        }
        out.push_str(&word);
        column += word.width();
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_text_in_markdown() {
        assert_eq!(
            markdown("a|b`<img src=x>`\n# title [x](http://e.org) @bob *q* _r_ Q4_0"),
            "a\\|b\\`&lt;img src=x&gt;\\` \\# title \\[x\\](http&#58;//e.org) &#64;bob \\*q\\* \\_r\\_ Q4_0"
        );
        assert_eq!(markdown("- x"), "\\- x");
        assert_eq!(markdown("www.e.org x.www.org awww.e"), "www&#46;e.org x.www&#46;org awww.e");
        assert_eq!(markdown("1. x"), "1\\. x");
        assert_eq!(markdown("12) x 1.5"), "12\\) x 1.5");
        assert_eq!(markdown("12.5"), "12.5");
    }

    #[test]
    fn no_escape_sequence_reaches_the_terminal() {
        assert_eq!(plain("a\x1b[31m\tb\r\nc\u{202e}d\u{85}"), "a\u{fffd}[31m b cd");
        assert_eq!(plain("a\u{61c}\u{ad}\u{180e}\u{e0041}b"), "ab");
        assert_eq!(laid_out("  3 |\tx = \x1b]52;c\x07"), "  3 | x = \u{fffd}]52;c\u{fffd}");
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(elide("Qwen2.5-0.5B-Instruct", 11), "Qwen2…truct");
        assert_eq!(elide("short", 5), "short");
        assert_eq!(elide("漢字漢字漢字", 6), "漢…字");
        assert_eq!(elide("abc", 1), "…");
    }

    #[test]
    fn numbers_keep_about_four_digits() {
        let shown: Vec<String> = [0.1234, 12.345, 123.45, 1234.5].map(number).into();
        assert_eq!(shown, ["0.12", "12.35", "123.5", "1234"]);
        assert_eq!(grouped(1234567.0, 0), "1\u{202f}234\u{202f}567");
        assert_eq!(grouped(123.0, 1), "123.0");
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_name_holds_it_stays_in_its_cell_and_its_width(name: String) {
            let safe = markdown(&name);
            proptest::prop_assert!(!safe.contains(['<', '>']) && !safe.contains(char::is_control));
            let bare = safe.replace("\\\\", "").replace("\\|", "").replace("\\`", "");
            proptest::prop_assert!(!bare.contains(['|', '`']), "{safe}");
            proptest::prop_assert!(elide(&plain(&name), 12).width() <= 12);
        }
    }
}
