//! Commands and what they print.

use crate::support::Bench;

#[test]
fn placeholder() {
    Bench::new().run(&["--version"]).ends_with(0);
}
