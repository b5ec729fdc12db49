//! The range of the values of a block, and steps over it, as ggml's legacy formats lay them.

/// The smallest and the largest value; of equal ones the first, which tells 0 from −0.
pub(super) fn ends(x: &[f32]) -> (f32, f32) {
    x.iter().fold((f32::MAX, f32::MIN), |(min, max), &v| {
        (if v < min { v } else { min }, if v > max { v } else { max })
    })
}

/// The scale with which the value of largest size becomes `end`, the end of the range that reaches
/// further, and its inverse.
pub(super) fn scale(x: &[f32], end: f32) -> (f32, f32) {
    let d = x.iter().fold(0f32, |m, &v| if v.abs() > m.abs() { v } else { m }) / end;
    (d, inverse(d))
}

/// `1 / d`, and 0 of 0.
pub(super) fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}
