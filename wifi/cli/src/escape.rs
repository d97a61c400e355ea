//! Making text from outside safe to show: file names, arguments, what devices and the air say.
//!
//! Neighbours: [`crate::exit`] for errors, [`crate::render`] for lines, [`crate::json`] for strings in JSON.

use std::fmt::{self, Write as _};

use airlift_wifi::ieee80211::is_printable;

/// The text with everything unsafe as `\u{…}`.
pub(crate) fn escaped(text: &str) -> Escaped<'_> {
    Escaped(text)
}

/// Displays text made safe; see [`escaped`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if is_printable(c) {
                f.write_char(c)?;
            } else {
                write!(f, "{}", c.escape_unicode())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_turned_text_are_escaped_and_nothing_else() {
        let shown = |text| escaped(text).to_string();
        assert_eq!(shown("caf\u{e9} \u{1f4f6} \"x\""), "caf\u{e9} \u{1f4f6} \"x\"");
        assert_eq!(shown("\u{1b}]0;t\u{7}"), "\\u{1b}]0;t\\u{7}");
        assert_eq!(shown("a\r\nb\u{9b}2J\u{7f}"), "a\\u{d}\\u{a}b\\u{9b}2J\\u{7f}");
        assert_eq!(shown("\u{202e}evil\u{200b}"), "\\u{202e}evil\\u{200b}");
    }
}
