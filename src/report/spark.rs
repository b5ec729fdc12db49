//! A series in one line of text.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A bar per value, the lowest for the smallest. Where all lie within `least` of the largest, as a
/// share of it, they do not fill the height: noise should not look like news.
pub fn sparkline(values: &[f64], least: f64) -> String {
    let (lo, hi) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), &v| (lo.min(v), hi.max(v)));
    let span = (hi - lo).max(hi.abs() * least);
    let bar = |&v: &f64| {
        let share = if span > 0.0 { (v - lo) / span } else { 0.0 };
        BARS[((share * 8.0) as usize).min(7)]
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_value_is_low_and_the_largest_high() {
        assert_eq!(sparkline(&[1.0, 2.0, 3.0, 8.0], 0.03), "▁▂▃█");
        assert_eq!(sparkline(&[], 0.03), "");
    }

    #[test]
    fn noise_stays_low_and_equal_values_stay_equal() {
        assert_eq!(sparkline(&[100.0, 100.5, 100.0], 0.06), "▁▁▁");
        assert_eq!(sparkline(&[5.0; 3], 0.03), "▁▁▁");
        assert_eq!(sparkline(&[0.0; 3], 0.03), "▁▁▁");
    }
}
