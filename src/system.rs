//! What the operating system says when it refuses a file, in the program's words.
//!
//! The number that stands behind the system's own words (`os error 2`) tells nobody anything and is left
//! out; where its words speak of one thing and mean another they are replaced.

use std::io;

/// Why a file could not be read or written.
pub fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder, a file is needed".to_owned(),
        io::ErrorKind::NotADirectory => "a part of this path is a file, not a folder".to_owned(),
        // Of reading a text this is the one thing that can be wrong with it.
        io::ErrorKind::InvalidData => "it is no text in UTF-8".to_owned(),
        _ => without_number(&error.to_string()),
    }
}

/// The text without ` (os error 2)`, wherever it stands.
pub fn without_number(text: &str) -> String {
    const MARK: &str = " (os error ";
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(MARK) {
        let n_digits = behind.bytes().take_while(u8::is_ascii_digit).count();
        out.push_str(before);
        rest = match behind[n_digits..].strip_prefix(')') {
            Some(behind) if n_digits > 0 => behind,
            _ => {
                out.push_str(MARK);
                behind
            }
        };
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_error_is_left_out_and_nothing_else() {
        let full = io::Error::from_raw_os_error(28);
        assert_eq!(said(&full), "No space left on device");
        assert_eq!(said(&io::Error::from_raw_os_error(2)), "no such file or folder");
        let text = "a: no (os error 2)\nb: no (os error 13); c (os error x)";
        assert_eq!(without_number(text), "a: no\nb: no; c (os error x)");
    }
}
