//! Colour for the few words that decide something, as escape sequences. Text with them is for
//! `cli::print`, which leaves them out where no terminal shows them or `NO_COLOR` is set.

use anstyle::{AnsiColor, Style};

/// What a word says about what stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// It went well.
    Good,
    /// It is to be taken with care.
    Care,
    /// It went wrong.
    Bad,
}

impl Tone {
    fn style(self) -> Style {
        let colour = match self {
            Tone::Good => AnsiColor::Green,
            Tone::Care => AnsiColor::Yellow,
            Tone::Bad => AnsiColor::Red,
        };
        colour.on_default()
    }

    /// The text in its colour.
    pub fn paint(self, text: &str) -> String {
        let style = self.style();
        format!("{style}{text}{style:#}")
    }

    /// The text in its colour and bold, as clap prints `error:`.
    pub fn paint_bold(self, text: &str) -> String {
        let style = self.style().bold();
        format!("{style}{text}{style:#}")
    }
}

/// The text as it is where there is no colour.
#[cfg(test)]
pub fn without_colour(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_leaves_the_words_as_they_are() {
        let text = Tone::Bad.paint("regressed");
        assert!(text.starts_with('\x1b') && text.ends_with("\x1b[0m"), "{text:?}");
        assert_eq!(without_colour(&text), "regressed");
        assert_eq!(without_colour(&Tone::Care.paint_bold("warning:")), "warning:");
    }
}
