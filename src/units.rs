//! Quantities with their unit in the type, and the one way each is written for people.
//!
//! Records keep plain integers whose names end in their unit (`prefill_ns`, `kv_bytes`); these
//! types are for showing them and for passing a quantity where a bare number could be mistaken.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A span of time in nanoseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The span in seconds.
    pub fn as_s(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The time from `earlier` to this moment; zero when `earlier` is later.
    pub fn since(self, earlier: Nanos) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }
}

impl From<std::time::Duration> for Nanos {
    fn from(d: std::time::Duration) -> Nanos {
        Nanos(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Nanos> for std::time::Duration {
    fn from(n: Nanos) -> std::time::Duration {
        std::time::Duration::from_nanos(n.0)
    }
}

impl fmt::Display for Nanos {
    /// Three significant digits or so: `412 ns`, `35.1 µs`, `12.4 ms`, `3.2 s`, `4 min 10 s`,
    /// `2 h 5 min`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0;
        let text = match ns {
            0..1_000 => format!("{ns} ns"),
            1_000..1_000_000 => format!("{:.1} µs", ns as f64 / 1e3),
            1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
            1_000_000_000..60_000_000_000 => format!("{:.1} s", ns as f64 / 1e9),
            _ => {
                let s = (ns + 500_000_000) / 1_000_000_000;
                if s < 3600 {
                    format!("{} min {} s", s / 60, s % 60)
                } else {
                    format!("{} h {} min", s / 3600, s % 3600 / 60)
                }
            }
        };
        f.pad(&text)
    }
}

/// A count of bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    /// Binary units, one decimal from KiB up: `512 B`, `85.8 MiB`, `1.2 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let b = self.0 as f64;
        let text = match self.0 {
            0..1024 => format!("{} B", self.0),
            1024..1_048_576 => format!("{:.1} KiB", b / 1024.0),
            1_048_576..1_073_741_824 => format!("{:.1} MiB", b / 1_048_576.0),
            _ => format!("{:.1} GiB", b / 1_073_741_824.0),
        };
        f.pad(&text)
    }
}

/// A text that is no count of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found `{0}`, expected a size such as 4GiB, 512MiB or 8GB")]
pub struct NoBytes(String);

/// Units of a count of bytes: binary ones of 1024, decimal ones of 1000.
const BYTE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("B", 1),
];

impl FromStr for Bytes {
    type Err = NoBytes;

    /// `4GiB`, `1.5 GiB`, `8GB`; a unit must be there, its case does not matter.
    fn from_str(s: &str) -> Result<Bytes, NoBytes> {
        let text = s.trim();
        let of_unit = BYTE_UNITS.iter().find_map(|(name, factor)| {
            let (digits, unit) = text.split_at_checked(text.len().checked_sub(name.len())?)?;
            unit.eq_ignore_ascii_case(name).then_some((digits.trim_end(), *factor))
        });
        let bytes = of_unit.and_then(|(digits, factor)| {
            let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            let n: f64 = digits.parse().ok().filter(|_| plain)?;
            let bytes = n * factor as f64;
            (bytes >= 1.0 && bytes < u64::MAX as f64).then_some(Bytes(bytes as u64))
        });
        bytes.ok_or_else(|| NoBytes(s.to_owned()))
    }
}

/// A temperature in degrees Celsius.
#[derive(
    Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Celsius(pub f64);

impl fmt::Display for Celsius {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.1} °C", self.0))
    }
}

/// A frequency in hertz.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Hertz(pub u64);

impl fmt::Display for Hertz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.0} MHz", self.0 as f64 / 1e6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_quantity_is_written_in_the_unit_a_person_would_choose() {
        let shown: Vec<String> =
            [412, 35_100, 12_400_000, 3_200_000_000, 250_000_000_000, 7_500_000_000_000]
                .iter()
                .map(|&n| Nanos(n).to_string())
                .collect();
        assert_eq!(shown, ["412 ns", "35.1 µs", "12.4 ms", "3.2 s", "4 min 10 s", "2 h 5 min"]);
        let shown: Vec<String> =
            [512, 2048, 89_968_640, 1_313_300_000].iter().map(|&n| Bytes(n).to_string()).collect();
        assert_eq!(shown, ["512 B", "2.0 KiB", "85.8 MiB", "1.2 GiB"]);
        assert_eq!(Celsius(54.25).to_string(), "54.2 °C");
        assert_eq!(Hertz(2_400_000_000).to_string(), "2400 MHz");
    }

    #[test]
    fn a_size_is_read_with_its_unit_and_not_without() {
        let read = |text: &str| text.parse::<Bytes>().map(|bytes| bytes.0);
        assert_eq!(read("4GiB"), Ok(4 << 30));
        assert_eq!(read(" 1.5 gib "), Ok(3 << 29));
        assert_eq!(read("8GB"), Ok(8_000_000_000));
        assert_eq!(read("512b"), Ok(512));
        for bad in
            ["", "4", "GiB", "-4GiB", "0GiB", "1e3GiB", "4 Gi", "infGiB", "99999999TiB", "µB"]
        {
            assert!(read(bad).unwrap_err().to_string().contains("such as 4GiB"), "{bad}");
        }
    }

    #[test]
    fn time_never_runs_backwards() {
        assert_eq!(Nanos(5).since(Nanos(9)), Nanos(0));
    }
}
